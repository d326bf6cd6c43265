import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

import { root } from '../../scripts/prepare.mjs'
import { describe, took, type Steps } from '../../scripts/steps.mjs'
import { makeTemporaryFolder } from '../../scripts/stores/temporary-folder.ts'
import { runRandomMode } from './random-mode.ts'
import { writeReport, type RowResult } from './report.ts'
import { allRows } from './rows/all-rows.ts'
import type { Row } from './rows/row.ts'
import { startFaultSystem, type FaultSystem } from './system.ts'

export interface FaultRunOptions {
  /** Names of rows; all but the long ones when there is none and no random time either. */
  rows: readonly string[]
  runs: number
  /** Of random faults. */
  seconds: number | undefined
  seed: number
  report: boolean
  steps: Steps
  signal: AbortSignal
}

const RANDOM_ROW = 'random'
const REPORT_FILE = join(root, 'docs', 'reliability.md')

export function listRows(): string[] {
  const width = Math.max(...allRows.map(({ name }) => name.length))
  return allRows.map(
    ({ name, what, fault, isLong }) =>
      `  ${name.padEnd(width)}  ${what}: ${fault}${isLong ? ' (long: only when it is named)' : ''}`,
  )
}

/** @returns whether nothing was violated. */
export async function runFaults(options: FaultRunOptions): Promise<boolean> {
  const { steps, signal, seed, seconds } = options
  const rows = chooseRows(options)
  steps.say(`seed ${seed}`)
  const folder = await makeTemporaryFolder()
  const results: RowResult[] = []
  try {
    const system = await steps.step('Stores and processes', () =>
      startFaultSystem({ folder: folder.path, say: steps.say, signal }),
    )
    for (const [at, row] of rows.entries()) {
      signal.throwIfAborted()
      results.push(await runRow(system, row, `${at + 1}/${rows.length}`, options))
    }
    if (seconds !== undefined) results.push(await runRandom(system, seconds, options))
    await steps.step('Stopping', () => system.stop())
  } finally {
    if (options.report && results.length > 0) {
      writeReport(REPORT_FILE, results, [...allRows.map((row) => row.name), RANDOM_ROW])
    }
    await folder.remove()
  }
  return summarize(results, options)
}

function chooseRows({ rows, seconds }: FaultRunOptions): readonly Row[] {
  if (rows.length === 0) return seconds === undefined ? allRows.filter(({ isLong }) => !isLong) : []
  return allRows.filter((row) => rows.includes(row.name))
}

async function runRow(
  system: FaultSystem,
  row: Row,
  place: string,
  { runs, seed, steps, signal }: FaultRunOptions,
): Promise<RowResult> {
  const violations: string[] = []
  for (let run = 1; run <= runs; run += 1) {
    const beganMs = performance.now()
    try {
      const result = await unlessAborted(signal, row.run(system, { seed: seed + run - 1, slackMs: 0 }))
      violations.push(...result.violations)
      steps.say(
        `  ${result.violations.length === 0 ? '✓' : '✗'} ${place} ${row.name}: ${result.calls} calls, ` +
          `${result.looks} looks, ${result.violations.length} violations (${took(beganMs)})`,
      )
      for (const violation of result.violations) steps.say(`      ${violation}`)
    } catch (error) {
      signal.throwIfAborted()
      violations.push(`the run itself failed: ${describe(error)}`)
      steps.say(`  ✗ ${place} ${row.name}: ${describe(error)}`)
      await system.heal()
    }
  }
  return { row, runs, violations }
}

async function runRandom(
  system: FaultSystem,
  seconds: number,
  { seed, steps, signal }: FaultRunOptions,
): Promise<RowResult> {
  const beganMs = performance.now()
  const say = (line: string): void => steps.say(`  ${took(beganMs).padStart(9)}  ${line}`)
  const result = await unlessAborted(signal, runRandomMode(system, { seed, seconds, say }))
  const { faults, sales, calls, looks } = result
  const fault = `${faults} random faults in ${seconds} s (seed ${seed}): ${sales} sales, ${calls} calls, ${looks} looks of the auditor`
  steps.say(`  ${fault}: ${result.violations.length} violations`)
  return {
    row: { name: RANDOM_ROW, what: 'all', fault, when: 'peak, drain', holds: 'I1–I6, I8, I9, I11' },
    runs: 1,
    violations: result.violations,
  }
}

/** A row takes up to half an hour: a Ctrl-C does not wait for it. Its processes go with the folder. */
function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
  return Promise.race([work, aborted])
}

function summarize(results: readonly RowResult[], { steps, seed }: FaultRunOptions): boolean {
  const broken = results.filter((result) => result.violations.length > 0)
  steps.say()
  for (const { row, violations } of broken) {
    steps.say(`✗ ${row.name}`)
    for (const violation of violations) steps.say(`    ${violation}`)
  }
  steps.say(`${results.length - broken.length} rows held, ${broken.length} did not (seed ${seed})`)
  return broken.length === 0
}
