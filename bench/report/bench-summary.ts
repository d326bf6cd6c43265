import { cpus, totalmem } from 'node:os'

import { comparisonSection } from '../compare/comparison-section.ts'
import type { ComparisonSummary } from '../compare/summarize-comparison.ts'
import { gateSection } from '../gate/gate-section.ts'
import type { GateSummary } from '../gate/gate.ts'
import { journeySection } from '../journey/journey-section.ts'
import type { JourneySummary } from '../journey/journey.ts'
import { overloadSection } from '../overload/overload-section.ts'
import type { OverloadSummary } from '../overload/overload.ts'
import { stormSection } from '../storm/storm-section.ts'
import type { StormSummary } from '../storm/storm.ts'
import { scaleSection } from '../scale/scale-section.ts'
import type { ScaleSummary } from '../scale/scale.ts'
import { printSection, type Section } from './section.ts'

export interface BenchSummary {
  /** How to make it again. */
  command: string
  machine: ReturnType<typeof describeMachine>
  tookSeconds: number
  rounds: number
  connections: number
  comparison?: ComparisonSummary
  gate?: GateSummary
  storm?: StormSummary
  journey?: JourneySummary
  scale?: ScaleSummary
  overload?: OverloadSummary
  violations: string[]
  apiWarnings: string[]
}

export function describeMachine() {
  return {
    node: process.versions.node,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGigabytes: Math.round(totalmem() / 2 ** 30),
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
  }
}

export function readSections(summary: BenchSummary): Section[] {
  const { comparison, gate, storm, journey, scale, overload } = summary
  return [
    ...(comparison ? [comparisonSection(comparison, summary)] : []),
    ...(gate ? [gateSection(gate)] : []),
    ...(storm ? [stormSection(storm)] : []),
    ...(journey ? [journeySection(journey)] : []),
    ...(scale ? [scaleSection(scale)] : []),
    ...(overload ? [overloadSection(overload)] : []),
  ]
}

export function outcomeLines({ violations }: Pick<BenchSummary, 'violations'>): string[] {
  return violations.length === 0
    ? [
        'No invariant was violated: every 202 is an order; units sold = live units ≤ quota; units left + holds = quota; ' +
          'the ledger is empty.',
      ]
    : ['**Violated:**', '', ...violations.map((violation) => `- ${violation}`)]
}

/** All of it for a terminal. */
export function printReport(summary: BenchSummary): string[] {
  const { machine, violations, apiWarnings } = summary
  const [warning] = apiWarnings
  return [
    ...readSections(summary).flatMap(printSection),
    '',
    `  Node ${machine.node}, ${machine.cores} × ${machine.cpu}; ${Math.round(summary.tookSeconds)} s in all.`,
    '  Only the ratios may be compared with those of another run: the machine, and what else it does, are in all other figures.',
    ...(warning === undefined
      ? []
      : [`  ! The api logged ${apiWarnings.length} warnings; the first:`, `    ${warning.slice(0, 300)}`]),
    '',
    ...(violations.length === 0
      ? [
          '  ✓ every 202 is an order; units sold = live units ≤ quota; units left + holds = quota; the ledger is empty',
        ]
      : ['  ✗ violated:', ...violations.map((violation) => `    ${violation}`)]),
  ]
}
