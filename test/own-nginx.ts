import { closeSync, cpSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { afterAll, beforeAll, vi } from 'vitest'

import { createProcessRecord, RECORD_ENDING } from '../scripts/stores/process-record.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { NGINX } from '../scripts/stores/test-programs.ts'

const shipped = fileURLToPath(new URL('../docker/nginx', import.meta.url))

export interface EdgeSettings {
  port: number
  /** One `server` line for each api. */
  apis: string[]
  tls?: { port: number; certificate: string; key: string }
}

/** nginx with the shipped configuration, its gaps filled in as its container would fill them. */
export function useNginx() {
  let folder: TemporaryFolder
  let master: ChildProcess | undefined
  const program = process.env[NGINX.variable] || NGINX.path
  const file = (name: string) => join(folder.path, name)

  beforeAll(async () => {
    folder = await makeTemporaryFolder()
  })
  afterAll(async () => {
    if (master && master.exitCode === null) {
      const ended = once(master, 'exit')
      master.kill('SIGQUIT')
      await Promise.race([
        ended,
        vi.waitUntil(() => master?.exitCode !== null, 15_000).catch(() => undefined),
      ])
      master.kill('SIGKILL')
    }
    await folder?.remove()
  }, 30_000)

  /** The files as they lie in a container: the templates of docker/compose.yaml rendered into conf.d. */
  function write({ port, apis, tls }: EdgeSettings): void {
    mkdirSync(file('conf.d'), { recursive: true })
    mkdirSync(file('temporary'), { recursive: true })
    for (const name of ['nginx.conf', 'site.conf', 'html']) {
      cpSync(join(shipped, name), file(name), { recursive: true })
    }
    const values: Record<string, string> = {
      EDGE_PORT: `127.0.0.1:${port}`,
      EDGE_APIS: apis.map((api) => `server ${api};`).join('\n  '),
      EDGE_RESOLVER: '',
      EDGE_TEMPORARY: file('temporary'),
      EDGE_TLS_PORT: `127.0.0.1:${tls?.port}`,
      EDGE_CERTIFICATE: tls?.certificate ?? '',
      EDGE_CERTIFICATE_KEY: tls?.key ?? '',
    }
    for (const name of ['apis', tls ? 'edge-tls' : 'edge-plain']) {
      const template = readFileSync(join(shipped, `${name}.conf.template`), 'utf8')
      const rendered = template.replaceAll(/\$\{(EDGE_\w+)\}/g, (_gap, variable: string) => {
        const value = values[variable]
        if (value === undefined) throw new Error(`${name}.conf.template has an unknown gap ${variable}`)
        return value
      })
      writeFileSync(file(`conf.d/${name}.conf`), rendered)
    }
  }

  const args = () => ['-p', `${folder.path}/`, '-c', 'nginx.conf', '-e', 'stderr']
  const globals = () => ['-g', `daemon off; pid ${file('nginx.pid')};`]

  return {
    write,
    /** What `nginx -t` says; throws, in nginx's words, when the configuration is wrong. */
    async test(): Promise<string> {
      // Into a file, as its log goes: /dev/stdout cannot be opened where it is a socket.
      const output = openSync(file('test'), 'w')
      const child = spawn(program, [...args(), '-t', ...globals()], { stdio: ['ignore', output, output] })
      closeSync(output)
      const [code] = (await once(child, 'exit')) as [number]
      const said = readFileSync(file('test'), 'utf8')
      if (code !== 0) throw new Error(said)
      return said
    },
    async start(settings: EdgeSettings): Promise<void> {
      write(settings)
      const log = openSync(file('log'), 'a')
      master = spawn(program, [...args(), ...globals()], { stdio: ['ignore', log, log], detached: true })
      closeSync(log)
      createProcessRecord(file(`nginx${RECORD_ENDING}`)).add('nginx', master.pid ?? 0)
      await vi.waitFor(() => connects(settings.port), { timeout: 20_000, interval: 50 })
    },
    /** Takes changed files without ending a request; resolves when nothing follows the old ones any more. */
    async reload(settings: EdgeSettings): Promise<void> {
      const before = children(master?.pid)
      write(settings)
      master?.kill('SIGHUP')
      const isReplaced = () => {
        const now = children(master?.pid)
        return now.length > 0 && now.every((pid) => !before.includes(pid))
      }
      await vi.waitUntil(isReplaced, { timeout: 30_000, interval: 20 })
    },
    log: () => readFileSync(file('log'), 'utf8'),
  }
}

function children(masterPid: number | undefined): string[] {
  return readFileSync(`/proc/${masterPid}/task/${masterPid}/children`, 'utf8').split(' ').filter(Boolean)
}

function connects(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
  })
}
