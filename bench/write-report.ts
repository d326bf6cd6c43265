import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { drawBars } from './draw-bars.ts'
import { HEAD, notesOf, placingOf, rowsOf, type BenchSummary } from './report.ts'
import { MEANING, SCENARIOS } from './scenarios.ts'

/** report.md with its pictures, and report.json with the figures of every round. */
export function writeReport(
  folder: string,
  summary: BenchSummary,
  options: { rounds: number; connections: number },
): void {
  mkdirSync(folder, { recursive: true })
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text)
  const bars = (valueOf: (name: (typeof SCENARIOS)[number]) => number | undefined) =>
    SCENARIOS.flatMap((name) => {
      const value = valueOf(name)
      return value === undefined ? [] : [{ name, value }]
    })
  write('report.json', `${JSON.stringify(summary, null, 2)}\n`)
  write(
    'requests.svg',
    drawBars(
      'requests per second',
      bars((name) => summary.scenarios[name]?.requestsPerSecond),
    ),
  )
  write(
    'cpu.svg',
    drawBars(
      'CPU µs per request of the process that answers',
      bars((name) => summary.scenarios[name]?.serverCpuUsPerRequest),
    ),
  )
  write('report.md', toMarkdown(summary, options))
}

function toMarkdown(
  summary: BenchSummary,
  { rounds, connections }: { rounds: number; connections: number },
): string {
  const { machine, scenarios, violations } = summary
  const row = (cells: string[]): string => `| ${cells.join(' | ')} |`
  const spread = SCENARIOS.flatMap((name) => {
    const scenario = scenarios[name]
    if (!scenario) return []
    const [least, most] = scenario.requestsPerSecondRange.map((rate) => Math.round(rate).toLocaleString('en'))
    return [`- \`${name}\` (${MEANING[name]}): ${least} to ${most} requests/s`]
  })
  return [
    '# Measured',
    '',
    `${machine.date} UTC, ${machine.cores} × ${machine.cpu}, Node ${machine.node}. ${rounds} rounds, ${connections} connections`,
    '(20 for the three ways of the textbook). Made by `pnpm bench --report bench`.',
    '',
    row(HEAD),
    row(HEAD.map((_name, at) => (at === 0 || at === HEAD.length - 1 ? '---' : '---:'))),
    ...rowsOf(summary).map(row),
    '',
    ...notesOf(summary).flatMap((note) => [`**${note}**`, '']),
    ...placingOf(summary).flatMap((line) => [line, '']),
    violations.length === 0
      ? 'No invariant was violated: every 202 is an order, no order is there twice, no unit was sold that was not there.'
      : `**Violated:** ${violations.join('; ')}`,
    '',
    '![requests per second](requests.svg)',
    '',
    '![CPU per request](cpu.svg)',
    '',
    '## How to read it',
    '',
    'Load generator, api, worker, MySQL, Redis and RabbitMQ share the cores of this one machine. So requests/s of a',
    'purchase are those of all of them together, while a bare route shares with the generator alone; the CPU time of the',
    'process that answers does not depend on that. Figures are medians of rounds in which all scenarios took turns, and',
    'a ratio is the median of the ratios within the rounds. Answers of 503 are refusals under load and count as no',
    'success, but as answered.',
    '',
    '## Spread',
    '',
    ...spread,
    '',
  ].join('\n')
}
