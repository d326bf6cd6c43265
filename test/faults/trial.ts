import { setTimeout as pause } from 'node:timers/promises'

import type { NewSale } from '@blitzbuy/core/sale/sales'

import type { Allowances } from './audit-history.ts'
import { createRandom, type Random } from './random.ts'
import { settleDown } from './settle-down.ts'
import type { FaultSystem } from './system.ts'
import { startWatch } from './watch.ts'
import { startWorkload } from './workload.ts'

export interface TrialContext {
  system: FaultSystem
  saleId: number
  random: Random
  /** Something that must hold in this row beside the invariants. */
  demand: (isTrue: boolean, violation: string) => void
  /** From now on this is no violation any more. */
  allow: (more: Partial<Allowances>) => void
}

export interface Trial {
  seed: number
  sale?: Partial<NewSale>
  /** False: nobody waits until its stock is in Redis. */
  isWarmed?: boolean
  /** How many shoppers are at it at the same time; none for a row that brings its own. */
  atOnce?: number
  slackMs?: number
  /** The sale is over at the end: nothing of it can be sold. */
  endsClosed?: boolean
  breakThings(context: TrialContext): Promise<void>
}

export interface TrialResult {
  violations: string[]
  calls: number
  looks: number
}

const BEFORE_MS = 1_500

/** One run: a sale, shoppers, faults in the middle, an auditor all along and once everything is at rest. */
export async function runTrial(system: FaultSystem, trial: Trial): Promise<TrialResult> {
  const random = createRandom(trial.seed)
  const violations: string[] = []
  const allowances: Allowances = { redisLostData: false, apiDied: false, slackMs: trial.slackMs ?? 0 }
  const saleId = await system.addSale(trial.sale)
  if (trial.isWarmed !== false) await system.untilOpen(saleId)
  const deathsBefore = system.history.deaths.length
  const watch = startWatch(system, saleId)
  const workload = await startWorkload(system, {
    saleId,
    random: createRandom(trial.seed + 1),
    atOnce: trial.atOnce ?? 20,
    shoppers: trial.atOnce === 0 ? 0 : 200,
  })
  try {
    await pause(BEFORE_MS)
    await trial.breakThings({
      system,
      saleId,
      random,
      demand: (isTrue, violation) => void (isTrue || violations.push(violation)),
      allow: (more) => Object.assign(allowances, more),
    })
  } catch (error) {
    violations.push(`the fault itself failed: ${error instanceof Error ? error.message : String(error)}`)
  } finally {
    await system.heal()
    await workload.stop()
  }
  violations.push(...(await settleDown(system, saleId, random, allowances, trial.endsClosed)))
  violations.push(...system.history.deaths.slice(deathsBefore))
  const watched = await watch.stop()
  violations.push(...watched.violations)
  if (watched.looks === 0) violations.push('the auditor saw no store at all')
  const calls = system.history.calls.filter((call) => call.saleId === saleId).length
  await endSale(system, saleId)
  return { violations: [...new Set(violations)], calls, looks: watched.looks }
}

/** Nobody looks at it any more. */
async function endSale({ mysql }: FaultSystem, saleId: number): Promise<void> {
  await mysql.use(({ connection }) =>
    connection.query(
      `UPDATE sales SET state = 'closed', closes_at = GREATEST(opens_at, UTC_TIMESTAMP(3)) + INTERVAL 1 SECOND,
                        revision = revision + 1 WHERE id = ?`,
      [saleId],
    ),
  )
}
