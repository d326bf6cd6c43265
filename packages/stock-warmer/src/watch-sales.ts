import type { Logger } from '@blitzbuy/core/log'
import type { ReadSaleFigures, SaleFigures } from '@blitzbuy/core/order/sale-figures'
import type { LookAtQueue, QueueLook } from '@blitzbuy/core/rabbitmq/queue-look'
import type { RedisFigures } from '@blitzbuy/core/redis/redis-figures'
import type { Sales } from '@blitzbuy/core/sale/sales'

/** What was seen at the last look. Everything is undefined once nobody could look for a while. */
export interface Seen {
  sales: readonly WatchedSale[]
  queue: QueueLook | undefined
  deadLetters: QueueLook | undefined
  redis: RedisFigures | undefined
}

export interface WatchedSale extends SaleFigures {
  /** The drift that two looks in a row have seen: one look alone may have come between two steps of an order. */
  standingDriftUnits: number
}

export interface WatchSales {
  look(): Promise<void>
  seen(): Seen
}

/** Of the time, the look may take so much: with a hundred thousand live orders it takes a tenth of a second. */
const SHARE_MAX = 0.02
/** Older than this it tells nothing, and says nothing. */
const STALE_MS = 60_000

/** Looks at the figures of every sale that runs, so that metrics can be read without asking a store. */
export function createWatchSales(deps: {
  sales: Sales
  warmAheadMs: number
  readFigures: ReadSaleFigures
  lookAtQueue: LookAtQueue
  lookAtDeadLetters: LookAtQueue
  readRedis: () => Promise<RedisFigures>
  log: Logger
}): WatchSales {
  const { sales, warmAheadMs, readFigures, lookAtQueue, lookAtDeadLetters, readRedis, log } = deps
  let seenAtMs = Number.NEGATIVE_INFINITY
  let restUntilMs = 0
  let watched: WatchedSale[] = []
  let queue: QueueLook | undefined
  let deadLetters: QueueLook | undefined
  let redis: RedisFigures | undefined
  const NOTHING: Seen = { sales: [], queue: undefined, deadLetters: undefined, redis: undefined }

  return {
    async look() {
      const beganAtMs = performance.now()
      if (beganAtMs < restUntilMs) return
      const due = await sales.listToWarm(warmAheadMs)
      const before = new Map(watched.map((sale) => [sale.saleId, sale]))
      const figures = await readFigures(due.map((sale) => sale.saleId))
      watched = figures.map((sale) => toWatched(sale, before.get(sale.saleId)))
      for (const { saleId, oversoldUnits } of watched)
        if (oversoldUnits > 0) log.fatal({ saleId, oversoldUnits }, 'more units sold than there are')
      ;[queue, deadLetters, redis] = await Promise.all([lookAtQueue(), lookAtDeadLetters(), readRedis()])
      seenAtMs = performance.now()
      restUntilMs = seenAtMs + (seenAtMs - beganAtMs) / SHARE_MAX
    },

    seen: () =>
      performance.now() - seenAtMs > STALE_MS ? NOTHING : { sales: watched, queue, deadLetters, redis },
  }
}

function toWatched(sale: SaleFigures, before: WatchedSale | undefined): WatchedSale {
  const { driftUnits } = sale
  // While something moves, what stood stands.
  if (driftUnits === undefined) return { ...sale, standingDriftUnits: before?.standingDriftUnits ?? 0 }
  return { ...sale, standingDriftUnits: driftUnits === before?.driftUnits ? driftUnits : 0 }
}
