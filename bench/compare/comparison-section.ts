import { drawBars } from '../report/draw-bars.ts'
import { answers, decimal, percent, seconds, whole, type Section, type Table } from '../report/section.ts'
import { COMPARED } from '../scenario-names.mjs'
import { CONNECTIONS_OF_TEXTBOOK } from './compare.ts'
import { isBaseline, MEANING, type Baseline } from './scenarios.ts'
import type { ComparisonSummary, ScenarioSummary } from './summarize-comparison.ts'

/** From here on the generator can hardly send more, and a faster server would not show. */
const SATURATED = 0.9
/** With `bare` two processes have the machine to themselves: a thread that could run but mostly did not had company. */
const STARVED = 0.15

export function comparisonSection(
  summary: ComparisonSummary,
  { rounds, connections }: { rounds: number; connections: number },
): Section {
  const bars = (valueOf: (scenario: ScenarioSummary) => number | undefined) =>
    COMPARED.flatMap((name) => {
      const scenario = summary.scenarios[name]
      const value = scenario && valueOf(scenario)
      return value === undefined ? [] : [{ name, value, kind: kindOf(name) }]
    })
  return {
    title: 'A purchase, next to a bare route and the ways of the textbook',
    parts: [
      tableOf(summary),
      `Medians of ${rounds} rounds in which all scenarios took turns, ${connections} connections ` +
        `(${CONNECTIONS_OF_TEXTBOOK} for the three ways of the textbook); latencies over all rounds. ` +
        'Requests/s are answers of the expected status only; all answers stand in the last column. CPU is that of the ' +
        'process that answers. Both are counted from when all connections stand.',
      ...findDoubts(summary).map((note) => `**${note}**`),
      ...placingLines(summary),
      ...textbookLines(summary),
      `What the scenarios are, and their slowest and fastest round:`,
      spreadOf(summary),
    ],
    pictures: [
      {
        file: 'requests.svg',
        shows: 'requests per second',
        svg: drawBars(
          'Requests per second',
          bars(({ requestsPerSecond }) => requestsPerSecond),
        ),
      },
      {
        file: 'cpu.svg',
        shows: 'CPU per request',
        svg: drawBars(
          'CPU µs per request, of the process that answers',
          bars(({ serverCpuUsPerRequest }) => serverCpuUsPerRequest),
        ),
      },
    ],
  }
}

function kindOf(name: (typeof COMPARED)[number]): 'unit' | 'ours' | 'theirs' {
  if (name === 'bare') return 'unit'
  return isBaseline(name) ? 'theirs' : 'ours'
}

function rowsOf({ scenarios, scarce }: ComparisonSummary): [string, ScenarioSummary][] {
  const rows: [string, ScenarioSummary][] = COMPARED.flatMap((name) => {
    const scenario = scenarios[name]
    return scenario ? [[name, scenario]] : []
  })
  return scarce ? [...rows, ['scarce', scarce]] : rows
}

function tableOf(summary: ComparisonSummary): Table {
  return {
    head: [
      'scenario',
      'requests/s',
      '× bare',
      'p50 ms',
      'p95 ms',
      'p99 ms',
      'CPU µs/request',
      '× bare',
      'generator busy',
      'answers',
    ],
    rows: rowsOf(summary).map(([name, scenario]) => [
      name,
      whole(scenario.requestsPerSecond),
      decimal(scenario.ratioToBare, 2),
      decimal(scenario.latencyMs.p50, 0),
      decimal(scenario.latencyMs.p95, 0),
      decimal(scenario.latencyMs.p99, 0),
      decimal(scenario.serverCpuUsPerRequest, 1),
      decimal(scenario.cpuRatioToBare, 2),
      percent(scenario.generatorBusy),
      answers(scenario.statuses, scenario.unanswered),
    ]),
  }
}

function spreadOf({ scenarios }: ComparisonSummary): Table {
  return {
    head: ['scenario', 'is', 'slowest/s', 'fastest/s'],
    rows: COMPARED.flatMap((name) => {
      const scenario = scenarios[name]
      if (!scenario) return []
      const [least, most] = scenario.requestsPerSecondRange
      return [[name, MEANING[name], whole(least), whole(most)]]
    }),
  }
}

/** What became of the orders. */
function placingLines({ scenarios, scarce, rawRowsPerSecond }: ComparisonSummary): string[] {
  const stopped = scenarios['buy-cold']?.placing ?? scenarios.buy?.placing
  const running = scenarios['buy-placing']?.placing
  const rush = scarce?.rounds[0]
  return [
    ...(running
      ? [
          `With the worker running every order was placed and settled ${seconds(running.untilAtRestMs)} after the last ` +
            `answer; 99 % were a row ${whole(running.acceptedToRowP99Ms)} ms after their reservation. ` +
            `The worker's CPU per order: ${decimal(running.workerCpuUsPerOrder, 0)} µs.`,
        ]
      : []),
    ...(stopped
      ? [
          `The worker alone, on what had gathered while it was stopped: ${whole(stopped.ordersPerSecond)} orders/s; ` +
            `a bare multi-row INSERT in the same run: ${whole(rawRowsPerSecond)} rows/s.`,
        ]
      : []),
    ...(rush
      ? [
          `${whole(rush.requests)} shoppers for 100 units: all knew after ${seconds(rush.elapsedMs)}, connecting included; ` +
            `99 % were answered within ${decimal(scarce?.latencyMs.p99, 0)} ms.`,
        ]
      : []),
  ]
}

const WHAT_IT_COSTS: Record<Baseline, string> = {
  redlock:
    'Everybody waits behind one lock, which costs two trips to Redis and three to MySQL for each buyer in turn',
  'for-update': 'The lock on the row of the sale lets one transaction through at a time',
  'message-each':
    'There is no lock, but a script, a confirmed message and a transaction for each buyer alone; its 202 comes before the row',
}

/** How much faster, and what locks cost; all from the same rounds. */
function textbookLines({ scenarios }: ComparisonSummary): string[] {
  const ours = (['buy-placing', 'buy-cold', 'buy'] as const).find((name) => scenarios[name])
  const own = ours && scenarios[ours]
  if (!own) return []
  return (['redlock', 'for-update', 'message-each'] as const).flatMap((name) => {
    const way = scenarios[name]
    if (!way) return []
    const times = own.requestsPerSecond / way.requestsPerSecond
    return [
      `\`${ours}\` takes ${times >= 10 ? whole(times) : decimal(times, 1)} times as many purchases as \`${name}\`, with session, gate and ` +
        `limits, which that has not. ${WHAT_IT_COSTS[name]}: ${decimal(1000 / way.requestsPerSecond, 2)} ms of the clock ` +
        `for each purchase, where ours takes ${decimal(1000 / own.requestsPerSecond, 2)} ms.`,
    ]
  })
}

/** What makes the figures less worth than they look. */
function findDoubts({ scenarios }: ComparisonSummary): string[] {
  const { bare } = scenarios
  const saturated = COMPARED.filter((name) => (scenarios[name]?.generatorBusy ?? 0) >= SATURATED)
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
