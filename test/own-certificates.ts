import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { runOrFail } from '../scripts/run.mjs'
import { OPENSSL } from '../scripts/stores/test-programs.ts'

export interface Certificate {
  certificate: string
  key: string
}

/** A certificate authority that nobody else believes, for one test. */
export interface OwnAuthority {
  /** The file to give to NODE_EXTRA_CA_CERTS. */
  file: string
  /** The same, for `ca` of a connection. */
  text: string
  /** A certificate for names and addresses, e.g. `DNS:localhost,IP:127.0.0.1`. */
  issue(name: string, subjects: string): Promise<Certificate>
}

export async function makeOwnAuthority(folder: string): Promise<OwnAuthority> {
  const openssl = (...args: string[]) =>
    runOrFail(process.env[OPENSSL.variable] || OPENSSL.path, args, { cwd: folder })
  const at = (name: string) => join(folder, name)
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc']
  await openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '2',
    '-subj',
    '/CN=BlitzBuy test authority',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  )

  return {
    file: at('ca.crt'),
    text: readFileSync(at('ca.crt'), 'utf8'),
    async issue(name, subjects) {
      writeFileSync(at(`${name}.ext`), `subjectAltName=${subjects}\n`)
      await openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`)
      const files = ['-in', `${name}.csr`, '-extfile', `${name}.ext`, '-out', `${name}.crt`]
      await openssl(
        'x509',
        '-req',
        '-days',
        '2',
        '-CA',
        'ca.crt',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        ...files,
      )
      // Servers read it as users of their own.
      chmodSync(at(`${name}.key`), 0o644)
      return { certificate: at(`${name}.crt`), key: at(`${name}.key`) }
    },
  }
}
