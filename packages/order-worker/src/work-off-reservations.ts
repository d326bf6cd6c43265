import { setTimeout as pause } from 'node:timers/promises'

import { crashPoint } from '@blitzbuy/core/crash-point'
import { ClocksDiffer, StoreAway } from '@blitzbuy/core/errors'
import type { Logger } from '@blitzbuy/core/log'
import type { Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import { readDecisions, type PlaceReservations, type Placing } from '@blitzbuy/core/order/place-reservations'
import type { ReservationsMade } from '@blitzbuy/core/reservation/reservations-made'
import { groupBySale } from '@blitzbuy/core/sale/group-by-sale'
import type { Settle } from '@blitzbuy/core/stock/settle'

const RETRY_MIN_MS = 100
const RETRY_MAX_MS = 2_000

/**
 * Steps 6 and 7: every reservation of these messages becomes a row in MySQL, then Redis is told.
 *
 * A store that is away is waited for, however long it takes: an outage is not the message's fault.
 *
 * @throws only when `signal` ends the waiting.
 */
export type WorkOffReservations = (
  messages: readonly ReservationsMade[],
  signal: AbortSignal,
) => Promise<void>

export function createWorkOffReservations(deps: {
  mysql: Mysql
  placeReservations: PlaceReservations
  settle: Settle
  /** Has Redis and MySQL compared, when Redis gave units that MySQL did not have. */
  askForReconcile: (saleId: number) => Promise<void>
  log: Logger
}): WorkOffReservations {
  const { mysql, placeReservations, settle, askForReconcile, log } = deps

  return async (messages, signal) => {
    for (const [saleId, ofSale] of groupBySale(messages)) {
      const reservations = ofSale.flatMap((message) => message.reservations)
      const placing = await persist(() => placeReservations(saleId, reservations), signal)
      crashPoint('after-commit')
      await settleAll(saleId, placing, signal)
      crashPoint('after-settle')
      // Its minute comes anyway: not worth holding up these messages.
      if (placing.isShort) await askForReconcile(saleId).catch(() => undefined)
      log.debug({ saleId, reservations: reservations.length, messages: ofSale.length }, 'placed and settled')
    }
  }

  async function settleAll(saleId: number, placing: Placing, signal: AbortSignal): Promise<void> {
    const { decidedAtMs, decisions } = placing
    if ((await persist(() => settle(saleId, decidedAtMs, decisions), signal)) === 'settled') return
    // This worker was stopped, or Redis away, for so long that an order may have ended since.
    log.warn({ saleId, decidedAtMs }, 'decisions too old to be told; reading them again')
    await persist(async () => {
      const fresh = await readDecisions(mysql, decisions)
      if ((await settle(saleId, fresh.decidedAtMs, fresh.decisions)) === 'stale') throw new ClocksDiffer()
    }, signal)
  }

  /** Repeats a step that may be repeated until its store is back. */
  async function persist<T>(step: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await step()
      } catch (error) {
        if (signal.aborted) throw error
        const level = error instanceof StoreAway ? 'warn' : 'error'
        log[level]({ err: error, attempt }, 'a store is away or refuses; trying again')
        await pause(Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** attempt), undefined, { signal })
      }
    }
  }
}
