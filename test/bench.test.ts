import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { afterAll, beforeAll, expect, it } from 'vitest'

import { root } from '../scripts/prepare.mjs'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'

const RUN_WITHIN_MS = 420_000
let folder: TemporaryFolder
beforeAll(async () => {
  folder = await makeTemporaryFolder()
})
afterAll(() => folder.remove())

/** Its figures are of no interest here: a busy machine has others. It fails when an order or a unit was lost or invented. */
it(
  'the bench finds every invariant kept, in every scenario, and writes what it has measured',
  async () => {
    const bench = [join(root, 'scripts', 'bench.mjs'), '--quick', '--report', folder.path]
    const { stdout } = await promisify(execFile)(process.execPath, bench, {
      timeout: RUN_WITHIN_MS,
      killSignal: 'SIGTERM',
    })

    expect(stdout).toContain('✓ every 202 is an order')
    const report = readFileSync(join(folder.path, 'report.md'), 'utf8')
    for (const name of ['bare', 'sold-out', 'buy', 'scarce', 'redlock', 'for-update', 'message-each']) {
      expect(report).toContain(`| ${name} |`)
    }
    for (const step of ['page', 'login', 'token', 'buy', 'told', 'polled', 'paid']) {
      expect(report).toContain(`| ${step} |`)
    }
    for (const dimension of [
      'api processes',
      'connections',
      'sales at the same time',
      'units of a sale',
      'holds',
    ]) {
      expect(report).toMatch(new RegExp(`\\*\\*${dimension}[^*]*: (?:flat|not flat)`))
    }
    for (const step of ['gate', 'picture', 'login']) expect(report).toContain(`| ${step} |`)
    expect(report).toContain('## A storm of logins')
    expect(report).toContain('## Overload')
    for (const picture of ['requests.svg', 'cpu.svg', 'scale.svg']) {
      expect(readFileSync(join(folder.path, picture), 'utf8')).toContain('</svg>')
    }
  },
  RUN_WITHIN_MS,
)
