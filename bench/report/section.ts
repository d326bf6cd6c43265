/** One part of the report, for a terminal and for a page. */
export interface Section {
  title: string
  parts: (string | Table)[]
  pictures?: Picture[]
}

export interface Table {
  head: string[]
  rows: string[][]
}

export interface Picture {
  file: string
  shows: string
  svg: string
}

/** Numbers stand to the right, words to the left. */
function areWords({ rows }: Table, column: number): boolean {
  return rows.some((row) => !/^[-+–−±]?\s?\d|^–?$/.test(row[column] ?? ''))
}

export function printSection({ title, parts }: Section): string[] {
  return [
    '',
    `  ${title}`,
    '',
    ...parts.flatMap((part) => (typeof part === 'string' ? [`  ${part}`] : [...printTable(part), ''])),
  ]
}

function printTable(table: Table): string[] {
  const { head, rows } = table
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  return [head, ...rows].map((row) => {
    const cells = row.map((cell, column) =>
      areWords(table, column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    )
    return `  ${cells.join('  ')}`.trimEnd()
  })
}

export function sectionToMarkdown({ title, parts, pictures = [] }: Section): string[] {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    `## ${title}`,
    '',
    ...parts.flatMap((part) =>
      typeof part === 'string'
        ? [part, '']
        : [
            row(part.head),
            row(part.head.map((_, column) => (areWords(part, column) ? '---' : '---:'))),
            ...part.rows.map(row),
            '',
          ],
    ),
    ...pictures.flatMap(({ file, shows }) => [`![${shows}](${file})`, '']),
  ]
}

/** 12,345 */
export function whole(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en') : '–'
}

export function decimal(value: number | undefined, digits: number): string {
  return value === undefined || !Number.isFinite(value) ? '–' : value.toFixed(digits)
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

export function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? '–' : whole(bytes / 2 ** 20)
}

/** 19,900 × 409, 100 × 202 */
export function answers(statuses: Record<string, number>, unanswered = 0): string {
  const counts = Object.entries(statuses).map(([status, count]) => `${whole(count)} × ${status}`)
  if (unanswered > 0) counts.push(`${whole(unanswered)} × none`)
  return counts.join(', ')
}

export function addCounts(into: Record<string, number>, more: Record<string, number>): void {
  for (const [name, count] of Object.entries(more)) into[name] = (into[name] ?? 0) + count
}
