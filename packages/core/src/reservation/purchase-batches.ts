import { setTimeout as pause } from 'node:timers/promises'

import type { Logger } from 'pino'

import { crashPoint } from '../crash-point.ts'
import { StoreAway, UnexpectedReply } from '../errors.ts'
import { REDIS_COMMAND_TIMEOUT_MS } from '../redis/connect-redis.ts'
import { LIST_MAX } from '../redis/lua-script.ts'
import type { RedisClock } from '../redis/redis-clock.ts'
import type { Reserve, ReserveOutcome, ReserveRequest } from '../stock/reserve.ts'
import type { SoldOutFlags } from '../stock/sold-out-flags.ts'
import type { HandOff, Handoff } from './hand-off.ts'
import type { OrderIds } from './order-id.ts'
import type { Reservation } from './reservations-made.ts'

export interface PurchaseRequest {
  saleId: number
  userId: number
  quantity: number
  requestId: string
  /** When the buyer's purchase token was issued: one that has bought an order buys no other. */
  tokenIssuedAtMs: number
}

export type BatchOutcome =
  | { kind: 'reserved'; orderId: string; handoff: Handoff }
  | Exclude<ReserveOutcome, { kind: 'reserved' }>
  /** The try may have succeeded, or may still: only asking again tells. */
  | { kind: 'outcome_unknown' }
  /** Nothing was tried. */
  | { kind: 'redis_away' }

export interface PurchaseBatches {
  purchase(request: PurchaseRequest): Promise<BatchOutcome>
  /** Buyers who wait for their batch, in this process. */
  waitingCount(): number
  /** Resolves when nobody waits any more. */
  drained(): Promise<void>
}

/** A few, not many: whoever comes meanwhile gathers, and the size of a batch tunes itself to the load. */
const IN_FLIGHT_MAX = 2
const WAITING_MAX = 20_000
/** A slow confirm holds up the batch behind it for this long at most; its own buyers wait on. */
const CONFIRM_HOLDS_NEXT_MS = 200

interface Waiting {
  request: PurchaseRequest
  sinceMs: number
  resolve: (outcome: BatchOutcome) => void
  promise: Promise<BatchOutcome>
}

interface SaleQueue {
  waiting: Waiting[]
  /** Everybody of this sale who waits or is in flight, by user. */
  byUser: Map<number, Waiting>
  inFlight: number
  isScheduled: boolean
}

/**
 * All buyers of a sale who press the button at the same time share one call of `reserve` and one message.
 *
 * At most two batches of a sale are in flight; whoever comes meanwhile gathers. A lone buyer never waits for company.
 */
export function createPurchaseBatches(deps: {
  reserve: Reserve
  handOff: HandOff
  flags: SoldOutFlags
  clock: RedisClock
  orderIds: OrderIds
  log: Logger
}): PurchaseBatches {
  const { reserve, handOff, flags, clock, orderIds, log } = deps
  const queues = new Map<number, SaleQueue>()
  const drainers: (() => void)[] = []
  let waitingCount = 0

  const queueOf = (saleId: number): SaleQueue => {
    let queue = queues.get(saleId)
    if (!queue)
      queues.set(saleId, (queue = { waiting: [], byUser: new Map(), inFlight: 0, isScheduled: false }))
    return queue
  }

  function purchase(request: PurchaseRequest): Promise<BatchOutcome> {
    const queue = queueOf(request.saleId)
    // (user, sale) is the idempotency key: a double click is one purchase, also within one batch.
    const same = queue.byUser.get(request.userId)
    if (same) return same.promise
    if (waitingCount >= WAITING_MAX) return Promise.resolve({ kind: 'overloaded' })

    let resolve: (outcome: BatchOutcome) => void = () => undefined
    const promise = new Promise<BatchOutcome>((fulfil) => {
      resolve = fulfil
    })
    const waiting = { request, sinceMs: performance.now(), resolve, promise }
    queue.waiting.push(waiting)
    queue.byUser.set(request.userId, waiting)
    waitingCount += 1
    schedule(request.saleId, queue)
    return promise
  }

  /** At the end of this turn of the event loop: every request that has arrived by then is in the batch. */
  function schedule(saleId: number, queue: SaleQueue): void {
    if (queue.isScheduled || queue.inFlight >= IN_FLIGHT_MAX || queue.waiting.length === 0) return
    queue.isScheduled = true
    setImmediate(() => {
      queue.isScheduled = false
      const batch = queue.waiting.splice(0, LIST_MAX)
      queue.inFlight += 1
      void flush(saleId, queue, batch).finally(() => {
        queue.inFlight -= 1
        schedule(saleId, queue)
      })
      schedule(saleId, queue)
    })
  }

  function answer(queue: SaleQueue, waiting: Waiting, outcome: BatchOutcome): void {
    const { saleId, userId } = waiting.request
    if (queue.byUser.get(userId) !== waiting) return
    queue.byUser.delete(userId)
    if (queue.byUser.size === 0) queues.delete(saleId)
    waitingCount -= 1
    waiting.resolve(outcome)
    if (waitingCount === 0) for (const done of drainers.splice(0)) done()
  }

  /** Resolves when the next batch may fly, and never rejects; each buyer of the batch is answered, now or later. */
  async function flush(saleId: number, queue: SaleQueue, batch: Waiting[]): Promise<void> {
    // Whoever has waited too long behind a slow Redis is told so while it is true that nothing was tried.
    const oldestMs = performance.now() - REDIS_COMMAND_TIMEOUT_MS
    const timely = batch.filter((waiting) => waiting.sinceMs >= oldestMs)
    for (const waiting of batch)
      if (waiting.sinceMs < oldestMs) answer(queue, waiting, { kind: 'redis_away' })
    if (timely.length === 0) return

    try {
      const reserved = await reserveAndRefuse(saleId, queue, timely)
      if (reserved.reservations.length === 0) return
      const { winners, epoch, reservations } = reserved
      crashPoint('after-reserve')
      // Whatever becomes of the message, the ledger has the reservations.
      const handedOff = handOff({ v: 1, saleId, epoch, reservations })
        .catch((): Handoff => 'ledger')
        .then((handoff) => {
          crashPoint('after-confirm')
          for (const { waiting, orderId } of winners)
            answer(queue, waiting, { kind: 'reserved', orderId, handoff })
        })
      await Promise.race([handedOff, pause(CONFIRM_HOLDS_NEXT_MS, undefined, { ref: false })])
    } catch (error) {
      log.warn({ err: error, saleId, buyers: timely.length }, 'reserve failed')
      const notSent = error instanceof StoreAway && error.outcome === 'not-sent'
      for (const waiting of timely)
        answer(queue, waiting, { kind: notSent ? 'redis_away' : 'outcome_unknown' })
    }
  }

  /** Who is refused is told at once; who is not waits for the hand-off. */
  async function reserveAndRefuse(saleId: number, queue: SaleQueue, timely: readonly Waiting[]) {
    const nowMs = clock.nowMs()
    const requests: ReserveRequest[] = timely.map(
      ({ request: { userId, quantity, requestId, tokenIssuedAtMs } }) => ({
        orderId: orderIds.mint(saleId, userId, nowMs),
        userId,
        quantity,
        requestId,
        tokenIssuedAtMs,
      }),
    )
    const { outcomes, ...stock } = await reserve(saleId, nowMs + REDIS_COMMAND_TIMEOUT_MS, requests)
    clock.observe(stock.nowMs)
    if (outcomes.length !== requests.length) throw new UnexpectedReply('reserve', outcomes.length)

    const winners: { waiting: Waiting; orderId: string }[] = []
    const reservations: Reservation[] = []
    for (let at = 0; at < outcomes.length; at += 1) {
      const outcome = outcomes[at] as ReserveOutcome
      const waiting = timely[at] as Waiting
      if (outcome.kind === 'reserved') {
        // Field by field: to spread the request without its token takes V8 a slow call for each buyer.
        const { orderId, userId, quantity, requestId } = requests[at] as ReserveRequest
        winners.push({ waiting, orderId })
        reservations.push({ orderId, userId, quantity, requestId, reservedAtMs: outcome.reservedAtMs })
      } else {
        if (outcome.kind === 'sold_out') flags.raise(saleId, stock.epoch, stock.seq)
        answer(queue, waiting, told(outcome))
      }
    }
    return { winners, reservations, epoch: stock.epoch }
  }

  return {
    purchase,
    waitingCount: () => waitingCount,
    drained: () =>
      waitingCount === 0 ? Promise.resolve() : new Promise((resolve) => void drainers.push(resolve)),
  }
}

/** A call that came after the caller's own deadline was answered for by then; nobody knows what to. */
function told(outcome: Exclude<ReserveOutcome, { kind: 'reserved' }>): BatchOutcome {
  return outcome.kind === 'too_late' ? { kind: 'outcome_unknown' } : outcome
}
