import { Readable } from 'node:stream'

import { StoreAway } from '@blitzbuy/core/errors'
import type { Logger } from '@blitzbuy/core/log'
import type { Orders, PlacedOrder } from '@blitzbuy/core/order/orders'
import type { QueuedOrder, ReadOrder } from '@blitzbuy/core/order/read-order'
import { repeat } from '@blitzbuy/core/repeat'

import type { Refusal } from './refusals.ts'
import { toOrderAnswer } from './schemas/orders.ts'

export interface StreamLimits {
  max: number
  perAddress: number
  perUser: number
  /** A comment after so much silence, so that no proxy takes the connection for dead. */
  heartbeatMs: number
}

/** Who listens to which order. */
export interface Listener {
  orderId: string
  userId: number
  sessionId: string
  /** What the caps count by. */
  sender: string
}

export interface OrderStream {
  /** The body of the answer. */
  readonly body: Readable
  /** Tells a state that has not been told yet; after one that is no longer queued the stream ends. */
  tell(order: QueuedOrder | PlacedOrder): void
  end(): void
}

export interface OrderStreams {
  /** Begins to listen at once: what is decided from now on is told, whatever is read meanwhile. */
  open(listener: Listener): OrderStream | Refusal
  /** These orders were settled: whoever waits for one of them here is told. */
  heard(orderIds: readonly string[]): void
  /** Something may have been missed: every order is looked at again soon. */
  lookAtAll(): void
  endOfSession(sessionId: string): void
  /** How many are open. */
  count(): number
  /** Ends all of them, and opens no more. */
  drain(): void
  close(): Promise<void>
}

/** The number of a state on its way, which is the id of its event: a browser that reconnects says what it has seen. */
const VERSIONS: Record<QueuedOrder['state'] | PlacedOrder['state'], number> = {
  queued: 1,
  awaiting_payment: 2,
  rejected: 2,
  paid: 3,
  cancelled: 3,
  expired: 3,
}

const RETRY_MIN_MS = 2_000
const SWEEP_MS = 1_000
const TRY_AGAIN_MS = 1_000
/** After a reconnect to Redis everybody's order is read again; not all in the same moment. */
const LOOK_AT_ALL_WITHIN_MS = 2_000
const CAPPED_RETRY_MS = 5_000

/** Whether somebody who has seen the event with this id has nothing more to hear. */
export function hasSeen(lastEventId: unknown, { state }: QueuedOrder | PlacedOrder): boolean {
  return state !== 'queued' && typeof lastEventId === 'string' && Number(lastEventId) >= VERSIONS[state]
}

/**
 * The streams of order events that this instance has open, all fed by the worker's word.
 *
 * A settled batch is one message and one read of MySQL, however many of its buyers wait here. Every heartbeat also
 * looks at the order itself, so that a message that was never heard costs seconds and no result.
 */
export function createOrderStreams(deps: {
  orders: Orders
  readOrder: ReadOrder
  limits: StreamLimits
  log: Logger
}): OrderStreams {
  const { orders, readOrder, limits, log } = deps
  const byOrder = new Map<string, Set<Stream>>()
  const byUser = new Map<number, number>()
  const bySender = new Map<string, number>()
  let openCount = 0
  let isDraining = false

  class Stream implements OrderStream {
    readonly body = new Readable({ read() {} })
    readonly listener: Listener
    lookAtMs = performance.now() + limits.heartbeatMs
    #told = 0
    #hasEnded = false

    constructor(listener: Listener) {
      this.listener = listener
      this.#push(`retry: ${RETRY_MIN_MS + Math.round(Math.random() * RETRY_MIN_MS)}\n\n`)
    }

    tell(order: QueuedOrder | PlacedOrder): void {
      const version = VERSIONS[order.state]
      if (version <= this.#told) return
      this.#told = version
      this.#push(`event: order\nid: ${version}\ndata: ${JSON.stringify(toOrderAnswer(order))}\n\n`)
      if (order.state !== 'queued') this.end()
    }

    async look(): Promise<void> {
      const { orderId, userId } = this.listener
      this.lookAtMs = performance.now() + limits.heartbeatMs
      const order = await readOrder.own(orderId, userId).catch((error: unknown) => {
        if (!(error instanceof StoreAway)) throw error
        return undefined
      })
      if (order?.state === 'queued') {
        const { aheadAbout } = toOrderAnswer(order)
        this.#push(`event: ahead\ndata: ${JSON.stringify({ aheadAbout })}\n\n`)
      } else if (order) {
        this.tell(order)
      } else {
        this.#push(':\n\n')
      }
    }

    end(): void {
      forget(this)
      if (this.#hasEnded) return
      this.#hasEnded = true
      this.body.push(null)
    }

    #push(text: string): void {
      if (!this.#hasEnded && !this.body.destroyed) this.body.push(text)
    }
  }

  function forget(stream: Stream): void {
    const { orderId, userId, sender } = stream.listener
    const ofOrder = byOrder.get(orderId)
    if (!ofOrder?.delete(stream)) return
    if (ofOrder.size === 0) byOrder.delete(orderId)
    openCount -= 1
    countDown(byUser, userId)
    countDown(bySender, sender)
  }

  async function tellDecided(orderIds: readonly string[]): Promise<void> {
    for (const order of await orders.findAll(orderIds)) {
      for (const stream of byOrder.get(order.orderId) ?? []) stream.tell(order)
    }
  }

  function refusalOf({ userId, sender }: Listener): Refusal | undefined {
    if (isDraining) return { code: 'draining', retryAfterMs: TRY_AGAIN_MS }
    if (openCount >= limits.max) return { code: 'overloaded', retryAfterMs: CAPPED_RETRY_MS }
    const isCapped =
      (byUser.get(userId) ?? 0) >= limits.perUser || (bySender.get(sender) ?? 0) >= limits.perAddress
    return isCapped ? { code: 'rate-limited', retryAfterMs: CAPPED_RETRY_MS } : undefined
  }

  const sweeping = repeat(
    'look at streamed orders',
    SWEEP_MS,
    async () => {
      const nowMs = performance.now()
      const due = [...byOrder.values()].flatMap((streams) =>
        [...streams].filter((stream) => stream.lookAtMs <= nowMs),
      )
      await Promise.all(due.map((stream) => stream.look()))
    },
    log,
  )

  return {
    open(listener) {
      const refusal = refusalOf(listener)
      if (refusal) return refusal
      const stream = new Stream(listener)
      const ofOrder = byOrder.get(listener.orderId)
      if (ofOrder) ofOrder.add(stream)
      else byOrder.set(listener.orderId, new Set([stream]))
      openCount += 1
      byUser.set(listener.userId, (byUser.get(listener.userId) ?? 0) + 1)
      bySender.set(listener.sender, (bySender.get(listener.sender) ?? 0) + 1)
      stream.body.once('close', () => forget(stream))
      return stream
    },

    heard(orderIds) {
      const awaited = orderIds.filter((orderId) => byOrder.has(orderId))
      if (awaited.length === 0) return
      tellDecided(awaited).catch((error: unknown) => {
        log.warn({ err: error, orders: awaited.length }, 'decided orders could not be read; looking again')
        const againAtMs = performance.now() + TRY_AGAIN_MS
        for (const orderId of awaited)
          for (const stream of byOrder.get(orderId) ?? []) stream.lookAtMs = againAtMs
      })
    },

    lookAtAll() {
      for (const streams of byOrder.values())
        for (const stream of streams)
          stream.lookAtMs = performance.now() + Math.random() * LOOK_AT_ALL_WITHIN_MS
    },

    endOfSession(sessionId) {
      for (const streams of byOrder.values())
        for (const stream of streams) if (stream.listener.sessionId === sessionId) stream.end()
    },

    count: () => openCount,

    drain() {
      isDraining = true
      for (const streams of byOrder.values()) for (const stream of streams) stream.end()
    },

    close: () => sweeping.close(),
  }
}

function countDown<Key>(counts: Map<Key, number>, key: Key): void {
  const count = (counts.get(key) ?? 1) - 1
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}
