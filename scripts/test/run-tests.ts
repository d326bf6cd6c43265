import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

import { build, root } from '../prepare.mjs'
import { lastLines, run } from '../run.mjs'
import { paint, took, type Steps } from '../steps.mjs'
import {
  CHROMIUM,
  IPROUTE2,
  NGINX,
  OPENSSL,
  PROMETHEUS,
  TESSERACT,
  findOrInstall,
} from '../stores/test-programs.ts'
import { makeTemporaryFolder } from '../stores/temporary-folder.ts'
import { countTests, type TestCounts } from './count-tests.ts'

interface Row {
  name: string
  failed: boolean
  result: string
  time: string
}

interface RunTestsOptions {
  /** Given, only the build and the tests that vitest finds by it are run. */
  filter: string[]
  steps: Steps
  signal: AbortSignal
}

/** Everything that has to hold, one after the other, to the end even when something fails. */
export async function runTests({ filter, steps, signal }: RunTestsOptions): Promise<number> {
  const rows: Row[] = []
  const check = async (name: string, work: () => Promise<string>) => {
    const startedMs = performance.now()
    try {
      const result = await work()
      rows.push({ name, failed: false, result, time: took(startedMs) })
    } catch (error) {
      signal.throwIfAborted()
      steps.say(`\n${error instanceof Error ? error.message : String(error)}\n`)
      rows.push({ name, failed: true, result: 'FAILED', time: took(startedMs) })
    }
  }

  // First: the type-aware linter reads what the packages export from what was built.
  await check('Build', async () => {
    await build(steps, signal)
    return 'passed'
  })
  if (filter.length === 0) {
    for (const [name, ...command] of checks) {
      await check(name, () => steps.step(name, () => runTool(command, signal)))
    }
    for (const program of [CHROMIUM, TESSERACT, PROMETHEUS, NGINX, IPROUTE2, OPENSSL]) {
      await check(program.name, () => findOrInstall(program, steps.say, signal))
    }
  }

  const startedMs = performance.now()
  const counts = await runVitest(filter, signal)
  rows.push({
    name: 'Tests',
    failed: counts.failed > 0,
    result: `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`,
    time: took(startedMs),
  })
  return summarize(rows, counts, steps)
}

const checks = [
  ['Lint', 'oxlint', '--type-aware', '--deny-warnings'],
  ['Format', 'oxfmt', '--check', '.'],
  ['Types', 'tsc', '-p', 'tsconfig.json'],
  ['Types of the pages', 'tsc', '-p', 'packages/api/tsconfig.client.json'],
] as const

async function runTool([tool, ...args]: readonly string[], signal: AbortSignal): Promise<string> {
  const file = join(root, 'node_modules', '.bin', tool as string)
  const { code, output } = await run(file, args, { cwd: root, signal })
  if (code !== 0) throw new Error(lastLines(output, 200))
  return 'passed'
}

async function runVitest(filter: string[], signal: AbortSignal): Promise<TestCounts> {
  const folder = await makeTemporaryFolder()
  try {
    const reportFile = join(folder.path, 'report.json')
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`]
    const { code } = await run(
      join(root, 'node_modules', '.bin', 'vitest'),
      ['run', ...reporters, ...filter],
      {
        cwd: root,
        // Whatever is made for the moment lies in here, so that it ends with us however vitest ends.
        env: { ...testEnvironment(), TMPDIR: folder.path },
        shown: true,
        signal,
      },
    )
    const report = existsSync(reportFile) ? JSON.parse(readFileSync(reportFile, 'utf8')) : undefined
    return countTests(report, code)
  } finally {
    await folder.remove()
  }
}

/** Without what a developer has set for a system of their own. */
function testEnvironment(): NodeJS.ProcessEnv {
  const env = { ...process.env }
  if (env.BLITZBUY_TEST_STORES !== 'environment') {
    for (const name of ['MYSQL_URL', 'REDIS_URL', 'AMQP_URL']) delete env[name]
  }
  for (const name of ['NODE_ENV', 'PORT', 'BLITZBUY_HOME']) delete env[name]
  return env
}

function summarize(rows: Row[], counts: TestCounts, steps: Steps): number {
  steps.say()
  const nameWidth = Math.max(...rows.map(({ name }) => name.length))
  const resultWidth = Math.max(...rows.map(({ result }) => result.length))
  for (const { name, failed, result, time } of rows) {
    const mark = failed ? paint('red', '✗') : paint('green', '✓')
    steps.say(`  ${mark} ${name.padEnd(nameWidth)}  ${result.padEnd(resultWidth)}  ${time.padStart(8)}`)
  }
  const otherFailures = rows.filter(({ name, failed }) => failed && name !== 'Tests').length
  const failures = counts.failed + otherFailures
  for (const name of counts.skippedNames) steps.say(`  ${paint('yellow', '!')} skipped: ${name}`)
  steps.say()
  steps.say(`${counts.passed} passed, ${failures} failed`)
  return failures === 0 ? 0 : 1
}
