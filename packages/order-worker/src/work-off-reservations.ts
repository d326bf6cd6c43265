import { setTimeout as pause } from 'node:timers/promises'

import { crashPoint } from '@blitzbuy/core/crash-point'
import { ClocksDiffer, StoreAway } from '@blitzbuy/core/errors'
import type { Logger } from '@blitzbuy/core/log'
import type { Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import {
  readDecisions,
  type Decided,
  type PlaceReservations,
  type Poison,
} from '@blitzbuy/core/order/place-reservations'
import type { RejectReservations } from '@blitzbuy/core/order/reject-reservations'
import type { PublishDeadLetter } from '@blitzbuy/core/rabbitmq/publish'
import { requestsOf, type ReservationsMade } from '@blitzbuy/core/reservation/reservations-made'
import { groupBySale } from '@blitzbuy/core/sale/group-by-sale'
import type { Settle } from '@blitzbuy/core/stock/settle'

const RETRY_MIN_MS = 100
const RETRY_MAX_MS = 2_000

/** What one message of the queue brought. */
export type Delivered = (UnreadableMessage | ReservationsDelivered) & {
  /** The span that published it, as its headers say. */
  traceparent?: string
}

export interface ReservationsDelivered extends ReservationsMade {
  kind: 'reservations'
  messageId: string
}

export interface UnreadableMessage {
  kind: 'unreadable'
  messageId: string
  body: Buffer
  problem: string
}

/**
 * Steps 6 and 7: every reservation of these messages becomes a row in MySQL, then Redis is told.
 *
 * What can never become an order is told apart from its neighbours: it goes to the dead letters, is rejected and
 * settled, and they are placed. A store that is away is waited for, however long it takes: an outage is not the
 * message's fault.
 *
 * @throws only when `signal` ends the waiting.
 */
export type WorkOffReservations = (messages: readonly Delivered[], signal: AbortSignal) => Promise<void>

export function createWorkOffReservations(deps: {
  mysql: Mysql
  placeReservations: PlaceReservations
  rejectReservations: RejectReservations
  publishDeadLetter: PublishDeadLetter
  settle: Settle
  /** Has Redis and MySQL compared, when Redis gave units that MySQL did not have. */
  askForReconcile: (saleId: number) => Promise<void>
  log: Logger
}): WorkOffReservations {
  const { mysql, placeReservations, rejectReservations, publishDeadLetter, settle, askForReconcile, log } =
    deps

  return async (messages, signal) => {
    for (const message of messages) {
      if (message.kind === 'unreadable') await persist(() => buryWhole(message), signal)
    }
    const readable = messages.filter((message) => message.kind === 'reservations')
    for (const [saleId, ofSale] of groupBySale(readable)) await workOffSale(saleId, ofSale, signal)
  }

  async function workOffSale(
    saleId: number,
    messages: readonly ReservationsDelivered[],
    signal: AbortSignal,
  ): Promise<void> {
    const reservations = messages.flatMap((message) => message.reservations)
    const placing = await persist(() => placeReservations(saleId, reservations), signal)
    crashPoint('after-commit')
    await settleAll(saleId, placing, signal)
    crashPoint('after-settle')
    // Its minute comes anyway: not worth holding up these messages.
    if (placing.isShort) await askForReconcile(saleId).catch(() => undefined)
    for (const poison of placing.poison) await bury(saleId, poison, messages, signal)
    const rejected = placing.decisions.filter(({ state }) => state === 'rejected')
    log.info(
      {
        saleId,
        messages: messages.length,
        orders: requestsOf({ reservations }),
        ...(rejected.length > 0 && { rejected: rejected.map(({ orderId }) => orderId) }),
      },
      'placed and settled',
    )
  }

  /** Nobody knows whose it is: the ledger does, and relays its buyers. */
  async function buryWhole({ messageId, body, problem }: UnreadableMessage): Promise<void> {
    await publishDeadLetter(body, {
      cause: 'unreadable',
      detail: problem,
      originalMessageId: messageId,
      diedAtMs: Date.now(),
    })
    log.error({ problem, messageId }, 'unreadable message: dead-lettered')
  }

  /** The letter first: a crash behind the rejected row would leave nobody to look at. */
  async function bury(
    saleId: number,
    { reservation, cause, detail }: Poison,
    messages: readonly ReservationsDelivered[],
    signal: AbortSignal,
  ): Promise<void> {
    const { orderId, requestId } = reservation
    const origin = messages.find((message) => message.reservations.includes(reservation))
    const { messageId = '', epoch = 0 } = origin ?? {}
    const alone: ReservationsMade = { v: 1, saleId, epoch, reservations: [reservation] }
    const headers = { cause, detail, originalMessageId: messageId, saleId, orderId, requestId }
    await persist(
      () => publishDeadLetter(Buffer.from(JSON.stringify(alone)), { ...headers, diedAtMs: Date.now() }),
      signal,
    )
    log.error({ ...headers }, 'poison: dead-lettered alone')
    const reason = cause === 'unknown-sale' ? 'unknown-sale' : 'undecidable'
    const decided = await persist(() => rejectReservations(saleId, [reservation], reason), signal)
    await settleAll(saleId, decided, signal)
  }

  async function settleAll(saleId: number, decided: Decided, signal: AbortSignal): Promise<void> {
    const { decidedAtMs, decisions } = decided
    if ((await persist(() => settle(saleId, decidedAtMs, decisions), signal)) === 'settled') return
    // This worker was stopped, or Redis away, for so long that an order may have ended since.
    log.warn({ saleId, decidedAtMs }, 'decisions too old to be told; reading them again')
    await persist(async () => {
      const fresh = await readDecisions(mysql, saleId, decisions)
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
