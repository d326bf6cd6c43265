import type { RowDataPacket } from 'mysql2/promise'

import type { AuditedStores } from '../audit.ts'
import type { Call, History } from './history.ts'

/** What a run may show without being wrong, because of what was done to it. */
export interface Allowances {
  /** Redis lost data: it gave units that MySQL did not have, or forgot who had some. */
  redisLostData: boolean
  /** … and somebody deleted the queue beside it, with what the broker had confirmed. */
  queueDeleted?: boolean
  /** An operator lowered the quota: what was reserved in that very moment finds no unit any more. */
  quotaLowered?: boolean
  /** … and an api died beside it: what it had told of the ledger alone may be lost. */
  apiDied: boolean
  /** Added to the two seconds in which a refusal must come, for machines that others work on. */
  slackMs?: number
}

const REFUSED_WITHIN_MS = 2_000
const ENDED_WITHIN_MS = 10_000
const FINAL = new Set(['paid', 'cancelled', 'expired', 'rejected'])

type OrderRow = RowDataPacket & { id: string; userId: number; state: string; reason: string | null }

/**
 * What shoppers were told in one sale, against what MySQL says at rest: I4, I5, I8, I9 and I10.
 *
 * @returns one line per violation; none when all is well.
 */
export async function auditHistory(
  stores: Pick<AuditedStores, 'mysql'>,
  saleId: number,
  history: History,
  allowances: Allowances,
): Promise<string[]> {
  const rows = await readOrders(stores, saleId)
  const calls = history.calls.filter((call) => call.saleId === saleId)
  return [
    ...findLostPromises(calls, rows, allowances),
    ...findPhantoms(calls, rows),
    ...findChangedMinds(calls, rows),
    ...findSlowRefusals(calls, history, allowances),
    ...findBadEndings(history),
    ...findBadPoison(history, saleId, rows),
  ]
}

/** Who was told yes and has no row yet; empty within a minute of the last fault. */
export async function undecided(
  stores: Pick<AuditedStores, 'mysql'>,
  saleId: number,
  history: History,
): Promise<Call[]> {
  const rows = await readOrders(stores, saleId)
  return promised(history.calls.filter((call) => call.saleId === saleId)).filter(
    ({ orderId = '' }) => !rows.has(orderId),
  )
}

function promised(calls: readonly Call[]): Call[] {
  return calls.filter((call) => call.kind === 'buy' && call.status === 202)
}

function findLostPromises(
  calls: readonly Call[],
  rows: Map<string, OrderRow>,
  { redisLostData, apiDied, queueDeleted = false, quotaLowered = false }: Allowances,
): string[] {
  const violations: string[] = []
  for (const { orderId = '', userId, handoff } of promised(calls)) {
    const row = rows.get(orderId)
    if (!row) violations.push(`I4: user ${userId} was told 202, order ${orderId} was never decided`)
    else if (row.userId !== userId)
      violations.push(`I4: order ${orderId} is user ${row.userId}'s, not ${userId}'s`)
    else if (row.reason === 'lost' && !(redisLostData && (queueDeleted || (handoff === 'ledger' && apiDied))))
      violations.push(`I4: order ${orderId} (${handoff}) reads lost`)
    else if (
      row.state === 'rejected' &&
      row.reason !== 'lost' &&
      !isExcused(row, redisLostData, quotaLowered)
    )
      violations.push(`I4: order ${orderId} was told 202 and then rejected (${row.reason})`)
  }
  return violations
}

function isExcused({ reason }: OrderRow, redisLostData: boolean, quotaLowered: boolean): boolean {
  return redisLostData || (quotaLowered && reason === 'sold-out')
}

function findPhantoms(calls: readonly Call[], rows: Map<string, OrderRow>): string[] {
  const violations: string[] = []
  const told = new Set(calls.filter((call) => call.outcome === 'ok').map((call) => call.orderId))
  const unknowns = new Map<number, number>()
  for (const call of calls) {
    if (call.kind === 'buy' && call.outcome === 'unknown')
      unknowns.set(call.userId, (unknowns.get(call.userId) ?? 0) + 1)
  }
  for (const { id, userId } of rows.values()) {
    if (told.has(id)) continue
    const left = unknowns.get(userId) ?? 0
    if (left === 0) violations.push(`I5: nobody told user ${userId} anything of order ${id}`)
    else unknowns.set(userId, left - 1)
  }
  return violations
}

/** What is decided stays so: above all nobody who was told `rejected` gets that order after all. */
function findChangedMinds(calls: readonly Call[], rows: Map<string, OrderRow>): string[] {
  const violations = new Set<string>()
  for (const { orderId = '', state = '' } of calls) {
    const stands = rows.get(orderId)?.state
    if (FINAL.has(state) && stands !== state)
      violations.add(`I5: order ${orderId} was read as ${state}, and is ${stands}`)
  }
  return [...violations]
}

function findSlowRefusals(calls: readonly Call[], history: History, { slackMs = 0 }: Allowances): string[] {
  return calls.flatMap(({ at, kind, beganMs, tookMs, status, code }) => {
    const isRefusal = status === 0 || status >= 500
    if (!isRefusal || tookMs < REFUSED_WITHIN_MS + slackMs) return []
    const endedMs = beganMs + tookMs
    if (history.wasDisturbed(at, beganMs, endedMs)) return []
    if (tookMs - history.stalledMs(beganMs, endedMs) < REFUSED_WITHIN_MS + slackMs) return []
    return [`I8: ${at} took ${Math.round(tookMs)} ms to refuse a ${kind} (${status} ${code ?? 'no answer'})`]
  })
}

function findBadEndings({ endings }: History): string[] {
  return endings.flatMap(({ name, signal, tookMs, code }) => {
    if (tookMs >= ENDED_WITHIN_MS) return [`I9: ${name} took ${Math.round(tookMs)} ms to end at ${signal}`]
    return code === 0 ? [] : [`I9: ${name} ended with ${code} at ${signal}`]
  })
}

function findBadPoison({ poisons }: History, saleId: number, rows: Map<string, OrderRow>): string[] {
  return poisons.flatMap((poison) => {
    if (poison.saleId !== saleId) return []
    const { badOrderId, neighbourIds } = poison
    const bad = badOrderId === undefined ? undefined : rows.get(badOrderId)
    return [
      ...(badOrderId !== undefined && bad?.state !== 'rejected'
        ? [`I10: the poisoned order ${badOrderId} is ${bad?.state ?? 'undecided'}, not rejected`]
        : []),
      ...neighbourIds
        .filter((id) => !rows.has(id) || rows.get(id)?.state === 'rejected')
        .map((id) => `I10: order ${id}, which came with poison, is ${rows.get(id)?.reason ?? 'undecided'}`),
    ]
  })
}

async function readOrders(
  stores: Pick<AuditedStores, 'mysql'>,
  saleId: number,
): Promise<Map<string, OrderRow>> {
  return stores.mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<OrderRow[]>(
      'SELECT id, user_id AS userId, state, reason FROM orders WHERE sale_id = ?',
      [saleId],
    )
    return new Map(rows.map((row) => [row.id, row]))
  }, 10_000)
}
