import { cpus } from 'node:os'

import { EXPECTED_STATUS, SCENARIOS, type Measurement, type Scenario } from './scenarios.ts'
import { median, percentile, sortedTogether } from './summary.ts'

/** What is known at the end of a run. */
interface BenchOutcome {
  measured: Record<Scenario, Measurement[]>
  violations: string[]
  apiWarnings: string[]
}

export interface ScenarioSummary {
  requestsPerSecond: number
  /** Medians of the ratios within each round; what a round had to put up with, all its scenarios had. */
  ratioToBare: number
  cpuRatioToBare: number | undefined
  latencyMs: { p50: number; p95: number; p99: number }
  serverCpuUsPerRequest: number | undefined
  statuses: Record<string, number>
  unanswered: number
  generatorBusy: number
  generatorCpu: number
  placedAfterLastAnswerMs?: number
  workerCpuUsPerOrder?: number | undefined
  rounds: Omit<Measurement, 'latenciesMs'>[]
}

export interface BenchSummary {
  machine: { node: string; cpu: string; cores: number }
  scenarios: Record<Scenario, ScenarioSummary>
  violations: string[]
  apiWarnings: string[]
}

/** From here on the generator can hardly send more, and a faster server would not show. */
const SATURATED = 0.9
/** With `bare` two processes have the machine to themselves: a thread that could run but mostly did not had company. */
const STARVED = 0.15

export function summarize({ measured, violations, apiWarnings }: BenchOutcome): BenchSummary {
  const scenario = (name: Scenario) => summarizeScenario(measured[name], measured.bare)
  return {
    machine: {
      node: process.versions.node,
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: cpus().length,
    },
    scenarios: { bare: scenario('bare'), buy: scenario('buy'), 'sold-out': scenario('sold-out') },
    violations,
    apiWarnings,
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
  return {
    requestsPerSecond: median(rounds.map(({ requestsPerSecond }) => requestsPerSecond)),
    ratioToBare: median(ratios),
    cpuRatioToBare: medianOfKnown(cpuRatios),
    latencyMs: { p50: percentile(sorted, 50), p95: percentile(sorted, 95), p99: percentile(sorted, 99) },
    serverCpuUsPerRequest: medianOfKnown(rounds.map((round) => round.serverCpuUsPerRequest)),
    statuses,
    unanswered: rounds.reduce((sum, { unanswered }) => sum + unanswered, 0),
    generatorBusy: median(rounds.map(({ generatorBusy }) => generatorBusy)),
    generatorCpu: median(rounds.map(({ generatorCpu }) => generatorCpu)),
    ...(placings.length > 0 && {
      placedAfterLastAnswerMs: median(placings.map(({ afterLastAnswerMs }) => afterLastAnswerMs)),
      workerCpuUsPerOrder: medianOfKnown(placings.map(({ workerCpuUsPerOrder }) => workerCpuUsPerOrder)),
    }),
    rounds: rounds.map(({ latenciesMs: _latenciesMs, ...round }) => round),
  }
}

/** The table for a person, and what to make of it. */
export function formatReport(
  { machine, scenarios, violations, apiWarnings }: BenchSummary,
  { rounds, connections }: { rounds: number; connections: number },
): string[] {
  const head = [
    '',
    'requests/s',
    'ratio',
    'p50',
    'p95',
    'p99 ms',
    'CPU µs/request',
    'ratio',
    'generator',
    'answers',
  ]
  const rows = SCENARIOS.map((name) => {
    const { latencyMs, ...scenario } = scenarios[name]
    return [
      name,
      Math.round(scenario.requestsPerSecond).toLocaleString('en'),
      scenario.ratioToBare.toFixed(2),
      latencyMs.p50.toFixed(1),
      latencyMs.p95.toFixed(1),
      latencyMs.p99.toFixed(1),
      scenario.serverCpuUsPerRequest?.toFixed(1) ?? 'not available',
      scenario.cpuRatioToBare?.toFixed(2) ?? '–',
      percent(scenario.generatorBusy),
      answersOf(name, scenario),
    ]
  })
  const { buy } = scenarios
  const saturated = SCENARIOS.filter((name) => scenarios[name].generatorBusy >= SATURATED)
  return [
    '',
    ...table([head, ...rows]),
    '',
    `  Medians of ${rounds} rounds, ${connections} connections; latencies over all rounds. CPU is that of the process that answers.`,
    `  Orders: placed and settled ${((buy.placedAfterLastAnswerMs ?? 0) / 1000).toFixed(1)} s after the last answer; ` +
      `the worker's CPU per order: ${buy.workerCpuUsPerOrder?.toFixed(1) ?? 'not available'} µs.`,
    `  Node ${machine.node}, ${machine.cores} × ${machine.cpu}.`,
    '  Only the ratios may be compared with those of another run: the machine, and what else it does, are in all other figures.',
    ...(saturated.length > 0
      ? [
          `  ! The load generator was hardly ever idle with ${saturated.join(', ')}: the route may be faster than shown.`,
          '    Then the ratio of CPU µs/request is the one to trust.',
        ]
      : []),
    ...(scenarios.bare.generatorBusy - scenarios.bare.generatorCpu > STARVED
      ? [
          `  ! Something else used this machine: with bare the generator wanted ${percent(scenarios.bare.generatorBusy)} of a core and got ${percent(scenarios.bare.generatorCpu)}.`,
          '    Expect other figures, and somewhat other ratios, when it is quiet.',
        ]
      : []),
    ...unexpectedOf(scenarios),
    ...warningsOf(apiWarnings),
    '',
    ...(violations.length === 0
      ? [
          '  ✓ every 202 is an order; units sold = live units ≤ quota; units left + holds = quota; the ledger is empty',
        ]
      : ['  ✗ violated:', ...violations.map((violation) => `    ${violation}`)]),
  ]
}

function answersOf(name: Scenario, { statuses, unanswered }: Omit<ScenarioSummary, 'latencyMs'>): string {
  const counts = Object.entries(statuses).map(
    ([status, count]) => `${count.toLocaleString('en')} × ${status}`,
  )
  if (unanswered > 0) counts.push(`${unanswered.toLocaleString('en')} × none`)
  return counts.join(', ') || `no ${EXPECTED_STATUS[name]}`
}

function unexpectedOf(scenarios: Record<Scenario, ScenarioSummary>): string[] {
  return SCENARIOS.flatMap((name) => {
    const { statuses, unanswered } = scenarios[name]
    const others = Object.entries(statuses).filter(([status]) => status !== EXPECTED_STATUS[name])
    const count = others.reduce((sum, [, of]) => sum + of, unanswered)
    return count === 0
      ? []
      : [`  ! ${name}: ${count.toLocaleString('en')} requests were not answered ${EXPECTED_STATUS[name]}.`]
  })
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
