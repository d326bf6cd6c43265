import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { outcomeLines, readSections, type BenchSummary } from './bench-summary.ts'
import { sectionToMarkdown } from './section.ts'

/** report.md with its pictures, and report.json with the figures of every round. */
export function writeReport(folder: string, summary: BenchSummary): void {
  mkdirSync(folder, { recursive: true })
  const write = (file: string, content: string): void => writeFileSync(join(folder, file), content)
  const sections = readSections(summary)
  for (const { pictures = [] } of sections) for (const { file, svg } of pictures) write(file, svg)
  write('report.json', `${JSON.stringify(summary, null, 2)}\n`)
  write(
    'report.md',
    [
      '# Measured',
      '',
      `${summary.machine.date} UTC, ${machineOf(summary)}. Made by \`${summary.command}\` in ${Math.round(summary.tookSeconds / 60)} minutes.`,
      '',
      outcomeLines(summary).join('\n'),
      '',
      ...sections.flatMap(sectionToMarkdown),
      '## How to read it',
      '',
      'Load generator, api, worker, MySQL, Redis and RabbitMQ share the cores of this one machine. So requests/s of a',
      'purchase are those of all of them together, while a bare route shares with the generator alone; the CPU time of the',
      'process that answers does not depend on that. Of all figures only the ratios may be compared with those of another',
      'run: the machine, and what else it does, are in all others. A ratio is the median of the ratios within the rounds.',
      '',
    ].join('\n'),
  )
}

export function machineOf({ machine: { cores, cpu, node, memoryGigabytes } }: BenchSummary): string {
  return `${cores} × ${cpu}, ${memoryGigabytes} GB, Node ${node}`
}
