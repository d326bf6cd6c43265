import type { Redis } from 'ioredis'
import type { RowDataPacket } from 'mysql2/promise'

import { StoreAway } from '../errors.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import type { RedisClock } from '../redis/redis-clock.ts'
import { readUnproved, type OrderIdContent, type OrderIds } from '../reservation/order-id.ts'
import { orderKey, stockKeys } from '../stock/stock-keys.ts'
import type { Orders, PlacedOrder } from './orders.ts'

export interface QueuedOrder {
  orderId: string
  saleId: number
  state: 'queued'
  quantity: number | undefined
  /** Reservations of this sale that wait for MySQL, this one included. */
  queuedCount: number
}

/**
 * Where an order stands, or undefined when this user has no such order.
 *
 * While it is queued MySQL is not asked. An id that is known nowhere stays `queued` as long as its message may be
 * on its way; an order that Redis lost together with its ledger entry is then closed as `rejected: lost`.
 *
 * @throws StoreAway when the store that knows does not answer.
 */
export interface ReadOrder {
  /** Whether an id proves that it is this user's, without asking a store. It may still be known nowhere. */
  isOwn(orderId: string, userId: number): boolean
  /** By an id that somebody sent: it must prove that it is this user's. */
  own(orderId: string, userId: number): Promise<QueuedOrder | PlacedOrder | undefined>
  /** By an id that Redis itself names as this user's; a proof by a retired secret does not matter here. */
  held(orderId: string, userId: number): Promise<QueuedOrder | PlacedOrder | undefined>
  /** The order that takes up this user's place in a sale, if there is one. */
  liveIn(saleId: number, userId: number): Promise<QueuedOrder | PlacedOrder | undefined>
}

/** Redis has had its time: with both away the refusal must still come within two seconds. */
const AFTER_REDIS_MS = 1_000
/** How long after a loss of Redis' data a message of before may still be placed. */
const LOST_AFTER_MS = 30_000
/** Without a copy of the stock: its sale is over and its keys were removed, which waits for an empty ledger. */
const REMOVED_AFTER_MS = 24 * 3600 * 1000

export function createReadOrder(deps: {
  redis: Redis
  mysql: Mysql
  orders: Orders
  orderIds: OrderIds
  clock: RedisClock
}): ReadOrder {
  const { redis, mysql, orders, orderIds, clock } = deps

  async function readRedis(saleId: number, orderId: string) {
    const keys = stockKeys(saleId)
    const [entry, outcome, intactSinceMs, queuedCount] = await Promise.all([
      redisAnswer(redis.hget(keys.unsettled, orderId)),
      redisAnswer(redis.hget(orderKey(saleId, orderId), 'state')),
      redisAnswer(redis.hget(keys.stock, 'intactSinceMs')),
      redisAnswer(redis.hlen(keys.unsettled)),
    ])
    return { entry, outcome, intactSinceMs: Number(intactSinceMs ?? Number.NaN), queuedCount }
  }

  return {
    isOwn: (orderId, userId) => orderIds.read(orderId, userId) !== undefined,
    async own(orderId, userId) {
      const id = orderIds.read(orderId, userId)
      return id && read(id, orderId, userId)
    },
    async held(orderId, userId) {
      const id = readUnproved(orderId)
      return id && read(id, orderId, userId)
    },
    async liveIn(saleId, userId) {
      const orderId = await redisAnswer(redis.hget(stockKeys(saleId).holders, String(userId)))
      // A sale that is over may have left Redis; MySQL still knows who bought.
      return orderId ? this.held(orderId, userId) : orders.findLive(saleId, userId)
    },
  }

  async function read({ saleId, mintedAtMs }: OrderIdContent, orderId: string, userId: number) {
    let ledger: Awaited<ReturnType<typeof readRedis>>
    try {
      ledger = await readRedis(saleId, orderId)
    } catch (error) {
      // What MySQL has decided is true without Redis; only what is still on its way needs it.
      const placed = error instanceof StoreAway ? await orders.find(orderId, AFTER_REDIS_MS) : undefined
      if (placed) return placed
      throw error
    }

    const queued: QueuedOrder = {
      orderId,
      saleId,
      state: 'queued',
      quantity: ledger.entry ? Number(ledger.entry.split(':')[1]) : undefined,
      queuedCount: ledger.queuedCount,
    }
    if (ledger.entry && !ledger.outcome) return queued
    const placed = await orders.find(orderId)
    if (placed) return placed

    const nowMs = clock.nowMs()
    const isLost = Number.isNaN(ledger.intactSinceMs)
      ? nowMs - mintedAtMs > REMOVED_AFTER_MS
      : mintedAtMs < ledger.intactSinceMs && nowMs - ledger.intactSinceMs > LOST_AFTER_MS
    if (!isLost) return queued
    await closeAsLost(saleId, orderId, userId, mintedAtMs)
    return orders.find(orderId)
  }

  /** Under the sale's lock, so that a worker with the same reservation in hand comes before or after, never between. */
  async function closeAsLost(
    saleId: number,
    orderId: string,
    userId: number,
    mintedAtMs: number,
  ): Promise<void> {
    await mysql.transaction(async ({ connection }) => {
      await connection.query('SELECT id FROM sales WHERE id = ? FOR UPDATE', [saleId])
      const [[standing]] = await connection.query<RowDataPacket[]>('SELECT id FROM orders WHERE id = ?', [
        orderId,
      ])
      if (standing) return
      await connection.query(
        `INSERT INTO orders (id, sale_id, user_id, quantity, unit_price_cents, amount_cents, currency, state,
                             reserved_at, placed_at, ended_at, reason)
         SELECT ?, id, ?, 1, price_cents, price_cents, currency, 'rejected', ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), 'lost'
           FROM sales WHERE id = ?`,
        [orderId, userId, new Date(mintedAtMs), saleId],
      )
    })
  }
}
