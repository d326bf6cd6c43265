import { addCounts } from '../report/section.ts'
import { COMPARED } from '../scenario-names.mjs'
import { median, percentile, sortedTogether } from '../summary.ts'
import type { Measurement, Placing, Scenario } from './scenarios.ts'

/** The rounds of each scenario that was asked for. */
export type Measured = Partial<Record<Scenario, Measurement[]>> & { bare: Measurement[] }

export interface ScenarioSummary {
  /** Answers of the expected status; a refusal under load is none. */
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

export interface ComparisonSummary {
  scenarios: Partial<Record<Scenario, ScenarioSummary>> & { bare: ScenarioSummary }
  scarce?: ScenarioSummary
  rawRowsPerSecond: number
}

export function summarizeComparison({
  measured,
  scarce,
  rawRowsPerSecond,
}: {
  measured: Measured
  scarce: Measurement | undefined
  rawRowsPerSecond: number
}): ComparisonSummary {
  const scenarios = Object.fromEntries(
    COMPARED.flatMap((name) => {
      const rounds = measured[name]
      return rounds ? [[name, summarizeScenario(rounds, measured.bare)]] : []
    }),
  ) as ComparisonSummary['scenarios']
  return {
    scenarios,
    // Measured once, after the rounds: it is compared with the last bare.
    ...(scarce && { scarce: summarizeScenario([scarce], measured.bare.slice(-1)) }),
    rawRowsPerSecond,
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
  for (const round of rounds) addCounts(statuses, round.statuses)
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

function quotient(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b
}

export function medianOfKnown(values: (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length > 0 ? median(known) : undefined
}
