import { setMaxListeners } from 'node:events'
import { performance } from 'node:perf_hooks'

import type { Steps } from '../scripts/steps.mjs'
import { makeTemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { compare } from './compare/compare.ts'
import type { Scenario } from './compare/scenarios.ts'
import { measureGate } from './gate/gate.ts'
import { measureJourney } from './journey/journey.ts'
import { measureOverload } from './overload/overload.ts'
import { createPurchaseLoads } from './purchase-loads.ts'
import { describeMachine, printReport, type BenchSummary } from './report/bench-summary.ts'
import { writeReport } from './report/write-report.ts'
import { measureScale } from './scale/scale.ts'
import type { STUDIES } from './scenario-names.mjs'
import { measureStorm } from './storm/storm.ts'
import { startSystem, type BenchSystem } from './system.ts'

export interface BenchOptions {
  seconds: number
  rounds: number
  connections: number
  /** Few requests: about the invariants, not the figures. */
  isQuick: boolean
  /** Those to compare; `bare` is among them, or there are none. */
  scenarios: readonly Scenario[]
  studies: readonly (typeof STUDIES)[number][]
  /** As it was typed. */
  command: string
  reportFolder: string | undefined
  profileFolder: string | undefined
  steps: Steps
  signal: AbortSignal
}

/** Its points are many, and each shows its spread. */
const SCALE_ROUNDS_MAX = 2

/** @returns whether every invariant holds; the figures are printed either way. */
export async function runBench(options: BenchOptions): Promise<boolean> {
  const { steps, reportFolder } = options
  const folder = await makeTemporaryFolder()
  const deaths = new AbortController()
  const signal = AbortSignal.any([options.signal, deaths.signal])
  // Everything that waits for something listens to it, many at once.
  setMaxListeners(0, signal)
  const stops: (() => Promise<void>)[] = []
  let summary: BenchSummary
  try {
    const system = await startSystem({
      folder: folder.path,
      profileFolder: options.profileFolder,
      steps,
      signal,
      onDeath: (error) => deaths.abort(error),
      onStop: (stop) => void stops.unshift(stop),
    })
    summary = await measureAll(system, { ...options, signal })
  } finally {
    await steps.step('Stopping', async () => {
      for (const stop of stops) await stop()
      await folder.remove()
    })
  }
  for (const line of printReport(summary)) steps.say(line)
  if (reportFolder !== undefined) writeReport(reportFolder, summary)
  return summary.violations.length === 0
}

async function measureAll(system: BenchSystem, options: BenchOptions): Promise<BenchSummary> {
  const { rounds, connections, isQuick, scenarios, studies, command, steps, signal } = options
  const beganMs = performance.now()
  const loads = createPurchaseLoads(system, signal)
  const violations: string[] = []
  const take = <T>({ summary, violations: found }: { summary: T; violations: string[] }): T => {
    violations.push(...found)
    return summary
  }
  const summary: Partial<BenchSummary> = {}
  if (!isQuick) await steps.step('The api draws its pictures', () => system.untilPicturesDrawn())
  if (scenarios.length > 0) {
    const crowd = !studies.includes('scarce') ? 0 : isQuick ? 2_000 : 20_000
    summary.comparison = take(await compare(system, loads, { ...options, crowd }))
  }
  if (studies.includes('gate')) {
    const size = isQuick
      ? { rounds: 1, purchases: 500, pictures: 50, logins: 5, settles: false }
      : { rounds, purchases: 10_000, pictures: 400, logins: 50, settles: true }
    summary.gate = take(await measureGate(system, loads, { ...size, steps, signal }))
  }
  if (studies.includes('storm')) {
    const size = isQuick
      ? { rounds: 1, logins: 150, perSecond: 50, quietMs: 1_000 }
      : { rounds, logins: 2_000, perSecond: 100, quietMs: 4_000 }
    summary.storm = take(await measureStorm(system, loads, { ...size, steps, signal }))
  }
  if (studies.includes('journey')) {
    const size = isQuick
      ? { people: 60, arriveWithinMs: 1_500, payWithinMs: 500 }
      : { people: 2_000, arriveWithinMs: 20_000, payWithinMs: 20_000 }
    summary.journey = take(await measureJourney(system, loads, { ...size, steps, signal }))
  }
  if (studies.includes('scale')) {
    summary.scale = take(
      await measureScale(system, loads, { ...options, rounds: Math.min(rounds, SCALE_ROUNDS_MAX) }),
    )
  }
  if (studies.includes('overload')) {
    const size = isQuick
      ? { people: [10], secondsOfPeak: 1, secondsOfOverload: 2 }
      : {
          people: [50, 100, 200, 400],
          secondsOfPeak: 4,
          secondsOfOverload: 9,
        }
    summary.overload = take(await measureOverload(system, loads, { ...size, steps, signal }))
  }
  return {
    ...summary,
    command,
    machine: describeMachine(),
    tookSeconds: (performance.now() - beganMs) / 1000,
    rounds,
    connections,
    violations,
    apiWarnings: system.apiWarnings(),
  }
}
