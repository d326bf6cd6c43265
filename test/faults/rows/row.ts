import type { FaultSystem } from '../system.ts'
import { runTrial, type Trial, type TrialResult } from '../trial.ts'

/** One line of what every release shows. */
export interface Row {
  name: string
  what: string
  fault: string
  when: 'before' | 'peak' | 'drain' | 'payment' | 'peak, drain' | 'drain, payment'
  /** The invariants that it is about; all of them are audited each time. */
  holds: string
  /** Takes so long that it is run only when it is named. */
  isLong: boolean
  run(system: FaultSystem, options: { seed: number; slackMs: number }): Promise<TrialResult>
}

export type RowPlan = Omit<Row, 'run' | 'isLong'> &
  Partial<Pick<Row, 'isLong'>> &
  Omit<Trial, 'seed' | 'slackMs'>

export function row(plan: RowPlan): Row {
  const { name, what, fault, when, holds, isLong = false, ...trial } = plan
  return {
    name,
    what,
    fault,
    when,
    holds,
    isLong,
    run: (system, options) => runTrial(system, { ...trial, ...options }),
  }
}
