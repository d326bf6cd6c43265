import { cpus } from 'node:os'

import { SCENARIOS, type Measurement, type Placing, type Scenario } from './scenarios.ts'
import { median, percentile, sortedTogether } from './summary.ts'

/** The rounds of each scenario that was asked for. */
export type Measured = Partial<Record<Scenario, Measurement[]>> & { bare: Measurement[] }

/** What is known at the end of a run. */
interface BenchOutcome {
  measured: Measured
  scarce: Measurement
  rawRowsPerSecond: number
  violations: string[]
  apiWarnings: string[]
}

export interface ScenarioSummary {
  requestsPerSecond: number
  /** The slowest and the fastest round. */
  requestsPerSecondRange: [number, number]
  /** Medians of the ratios within each round; what a round had to put up with, all its scenarios had. */
  ratioToBare: number
  cpuRatioToBare: number | undefined
  latencyMs: { p50: number; p95: number; p99: number }
  serverCpuUsPerRequest: number | undefined
  statuses: Record<string, number>
  unanswered: number
  generatorBusy: number
  generatorCpu: number
  placing?: Placing
  rounds: Omit<Measurement, 'latenciesMs'>[]
}

export interface BenchSummary {
  machine: { node: string; cpu: string; cores: number; date: string }
  scenarios: Partial<Record<Scenario, ScenarioSummary>> & { bare: ScenarioSummary }
  scarce: ScenarioSummary
  rawRowsPerSecond: number
  violations: string[]
  apiWarnings: string[]
}

/** From here on the generator can hardly send more, and a faster server would not show. */
const SATURATED = 0.9
/** With `bare` two processes have the machine to themselves: a thread that could run but mostly did not had company. */
const STARVED = 0.15

export function summarize(outcome: BenchOutcome): BenchSummary {
  const { measured, scarce, ...rest } = outcome
  const scenarios = Object.fromEntries(
    SCENARIOS.flatMap((name) => {
      const rounds = measured[name]
      return rounds ? [[name, summarizeScenario(rounds, measured.bare)]] : []
    }),
  ) as BenchSummary['scenarios']
  return {
    machine: {
      node: process.versions.node,
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: cpus().length,
      date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    },
    scenarios,
    scarce: summarizeScenario([scarce], measured.bare),
    ...rest,
  }
}

function summarizeScenario(rounds: Measurement[], bareRounds: Measurement[]): ScenarioSummary {
  const sorted = sortedTogether(rounds.map(({ latenciesMs }) => latenciesMs))
  const ratios = rounds.map(
    (round, at) => round.requestsPerSecond / (bareRounds[at]?.requestsPerSecond ?? Number.NaN),
  )
  const cpuRatios = rounds.map((round, at) =>
    quotient(round.serverCpuUsPerRequest, bareRounds[at]?.serverCpuUsPerRequest),
  )
  const statuses: Record<string, number> = {}
  for (const round of rounds) {
    for (const [status, count] of Object.entries(round.statuses)) {
      statuses[status] = (statuses[status] ?? 0) + count
    }
  }
  const placings = rounds.flatMap(({ placing }) => placing ?? [])
  const rates = rounds.map(({ requestsPerSecond }) => requestsPerSecond)
  return {
    requestsPerSecond: median(rates),
    requestsPerSecondRange: [Math.min(...rates), Math.max(...rates)],
    ratioToBare: median(ratios),
    cpuRatioToBare: medianOfKnown(cpuRatios),
    latencyMs: { p50: percentile(sorted, 50), p95: percentile(sorted, 95), p99: percentile(sorted, 99) },
    serverCpuUsPerRequest: medianOfKnown(rounds.map((round) => round.serverCpuUsPerRequest)),
    statuses,
    unanswered: rounds.reduce((sum, { unanswered }) => sum + unanswered, 0),
    generatorBusy: median(rounds.map(({ generatorBusy }) => generatorBusy)),
    generatorCpu: median(rounds.map(({ generatorCpu }) => generatorCpu)),
    ...(placings.length > 0 && {
      placing: {
        untilAtRestMs: median(placings.map(({ untilAtRestMs }) => untilAtRestMs)),
        workerCpuUsPerOrder: medianOfKnown(placings.map(({ workerCpuUsPerOrder }) => workerCpuUsPerOrder)),
        ordersPerSecond: median(placings.map(({ ordersPerSecond }) => ordersPerSecond)),
        acceptedToRowP99Ms: median(placings.map(({ acceptedToRowP99Ms }) => acceptedToRowP99Ms)),
      },
    }),
    rounds: rounds.map(({ latenciesMs: _latenciesMs, ...round }) => round),
  }
}

export const HEAD = [
  'scenario',
  'requests/s',
  '× bare',
  'p50 ms',
  'p99 ms',
  'CPU µs/request',
  '× bare',
  'generator busy',
  'answers',
]

/** One row per scenario, as text. */
export function rowsOf({ scenarios, scarce }: BenchSummary): string[][] {
  const rows: [string, ScenarioSummary][] = SCENARIOS.flatMap((name) => {
    const scenario = scenarios[name]
    return scenario ? [[name, scenario]] : []
  })
  return [...rows, ['scarce', scarce] as const].map(([name, scenario]) => [
    name,
    Math.round(scenario.requestsPerSecond).toLocaleString('en'),
    scenario.ratioToBare.toFixed(2),
    scenario.latencyMs.p50.toFixed(0),
    scenario.latencyMs.p99.toFixed(0),
    scenario.serverCpuUsPerRequest?.toFixed(1) ?? 'not available',
    scenario.cpuRatioToBare?.toFixed(2) ?? '–',
    percent(scenario.generatorBusy),
    answersOf(scenario),
  ])
}

/** What became of the orders, in sentences. */
export function placingOf({ scenarios, scarce, rawRowsPerSecond }: BenchSummary): string[] {
  const stopped = scenarios['buy-cold']?.placing ?? scenarios.buy?.placing
  const running = scenarios['buy-placing']?.placing
  const rawRate = Math.round(rawRowsPerSecond).toLocaleString('en')
  const crowd = scarce.rounds[0]?.requests ?? 0
  return [
    ...(running
      ? [
          `With the worker running every order was placed and settled ${seconds(running.untilAtRestMs)} after the last ` +
            `answer; 99 % were a row ${Math.round(running.acceptedToRowP99Ms)} ms after their reservation. ` +
            `The worker's CPU per order: ${running.workerCpuUsPerOrder?.toFixed(0) ?? 'not available'} µs.`,
        ]
      : []),
    ...(stopped
      ? [
          `The worker alone, on what had gathered while it was stopped: ${Math.round(stopped.ordersPerSecond).toLocaleString('en')} orders/s; ` +
            `a bare multi-row INSERT in the same run: ${rawRate} rows/s.`,
        ]
      : []),
    `${crowd.toLocaleString('en')} shoppers for 100 units: all knew after ${seconds((crowd / scarce.requestsPerSecond) * 1000)}.`,
  ]
}

/** The table for a person, and what to make of it. */
export function formatReport(
  summary: BenchSummary,
  { rounds, connections }: { rounds: number; connections: number },
): string[] {
  const { machine, violations, apiWarnings } = summary
  return [
    '',
    ...table([HEAD, ...rowsOf(summary)]),
    '',
    `  Medians of ${rounds} rounds, ${connections} connections; latencies over all rounds. CPU is that of the process that answers.`,
    ...placingOf(summary).map((line) => `  ${line}`),
    `  Node ${machine.node}, ${machine.cores} × ${machine.cpu}.`,
    '  Only the ratios may be compared with those of another run: the machine, and what else it does, are in all other figures.',
    ...notesOf(summary).map((note) => `  ! ${note}`),
    ...warningsOf(apiWarnings),
    '',
    ...(violations.length === 0
      ? [
          '  ✓ every 202 is an order; units sold = live units ≤ quota; units left + holds = quota; the ledger is empty',
        ]
      : ['  ✗ violated:', ...violations.map((violation) => `    ${violation}`)]),
  ]
}

/** What makes the figures less worth than they look. */
export function notesOf({ scenarios }: BenchSummary): string[] {
  const { bare } = scenarios
  const saturated = SCENARIOS.filter((name) => (scenarios[name]?.generatorBusy ?? 0) >= SATURATED)
  return [
    ...(saturated.length > 0
      ? [
          `The load generator was hardly ever idle with ${saturated.join(', ')}: the route may be faster than shown. ` +
            'Then the ratio of CPU µs/request is the one to trust.',
        ]
      : []),
    ...(bare.generatorBusy - bare.generatorCpu > STARVED
      ? [
          `Something else used this machine: with bare the generator wanted ${percent(bare.generatorBusy)} of a core ` +
            `and got ${percent(bare.generatorCpu)}. Expect other figures, and somewhat other ratios, when it is quiet.`,
        ]
      : []),
  ]
}

function answersOf({ statuses, unanswered }: ScenarioSummary): string {
  const counts = Object.entries(statuses).map(
    ([status, count]) => `${count.toLocaleString('en')} × ${status}`,
  )
  if (unanswered > 0) counts.push(`${unanswered.toLocaleString('en')} × none`)
  return counts.join(', ')
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

function warningsOf(lines: string[]): string[] {
  if (lines.length === 0) return []
  return [`  ! The api logged ${lines.length} warnings; the first:`, `    ${lines[0]?.slice(0, 300)}`]
}

/** Numbers to the right, words to the left. */
function table(rows: string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) => {
    const cells = row.map((cell, column) => {
      const isWord = column === 0 || column === row.length - 1
      return isWord ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
    })
    return `  ${cells.join('  ')}`.trimEnd()
  })
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function quotient(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b
}

function medianOfKnown(values: (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length > 0 ? median(known) : undefined
}
