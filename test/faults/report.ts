import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'

import type { Row } from './rows/row.ts'

/** What became of one row in one run. */
export interface RowResult {
  row: Pick<Row, 'name' | 'what' | 'fault' | 'when' | 'holds'>
  runs: number
  violations: string[]
}

const BEGIN = '<!-- written by `pnpm faults`: begin -->'
const END = '<!-- written by `pnpm faults`: end -->'
const HEAD = `| row | what | fault | when | must hold | runs | violations | date | machine |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |`

/**
 * Writes the results into the table of docs/reliability.md: a row that was run replaces its line, the others stay.
 *
 * @param names in their order; lines of rows that are no more are dropped
 */
export function writeReport(file: string, results: readonly RowResult[], names: readonly string[]): void {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : `# Reliability\n\n${BEGIN}\n${END}\n`
  const [before, rest] = split(text, BEGIN)
  const [table, after] = split(rest, END)
  const lines = new Map(
    table
      .split('\n')
      .map((line) => [/^\| `([^`]+)`/.exec(line)?.[1], line] as const)
      .filter((entry): entry is [string, string] => entry[0] !== undefined),
  )
  for (const result of results) lines.set(result.row.name, lineOf(result))
  const kept = names.flatMap((name) => lines.get(name) ?? [])
  writeFileSync(file, `${before}${BEGIN}\n\n${[HEAD, ...kept].join('\n')}\n\n${END}${after}`)
}

function split(text: string, at: string): [string, string] {
  const position = text.indexOf(at)
  if (position < 0) throw new Error(`docs/reliability.md has lost the line ${at}`)
  return [text.slice(0, position), text.slice(position + at.length)]
}

function lineOf({ row, runs, violations }: RowResult): string {
  const cells = [
    `\`${row.name}\``,
    row.what,
    row.fault,
    row.when,
    row.holds,
    String(runs),
    String(violations.length),
    new Date().toISOString().slice(0, 10),
    `${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB, Node ${process.versions.node}`,
  ]
  return `| ${cells.join(' | ')} |`
}
