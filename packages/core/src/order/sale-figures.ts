import type { Redis } from 'ioredis'
import type { RowDataPacket } from 'mysql2/promise'

import type { Mysql } from '../mysql/connect-mysql.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import { createReadStocks, type StockSnapshot } from '../stock/read-stock.ts'
import { stockKeys } from '../stock/stock-keys.ts'

/** How one sale stands right now, in both stores. */
export interface SaleFigures {
  saleId: number
  quota: number
  /** The copy in Redis; undefined while there is none. */
  stock: Pick<StockSnapshot, 'state' | 'unitsLeft' | 'quota'> | undefined
  /** Reservations that MySQL has not decided yet. */
  unsettledCount: number
  /** How long the oldest of them that was seen waits; 0 when there is none. */
  unsettledOldestMs: number
  awaitingPaymentUnits: number
  paidUnits: number
  /** Units in live orders beyond the quota: more than none is the one thing that must never be. */
  oversoldUnits: number
  /** Orders that ended, and Redis was not told yet. */
  returnDueCount: number
  /**
   * Units taken in Redis minus units sold in MySQL, while nothing is on its way between the two; undefined while
   * something is, because sums that move say nothing.
   */
  driftUnits: number | undefined
}

/** Reads the figures of these sales: a few commands to Redis and three statements to MySQL, whatever the number. */
export type ReadSaleFigures = (saleIds: readonly number[]) => Promise<SaleFigures[]>

/** The ledger is looked at from both ends: what was never relayed stands first, what was relayed last. */
const LEDGER_LOOK = 50
const DEADLINE_MS = 5_000

export function createReadSaleFigures({ mysql, redis }: { mysql: Mysql; redis: Redis }): ReadSaleFigures {
  const readStocks = createReadStocks(redis)

  return async (saleIds) => {
    if (saleIds.length === 0) return []
    const before = await readStocks(saleIds)
    const ledgers = await Promise.all(saleIds.map((saleId) => readLedger(redis, saleId)))
    const { sales, live, due } = await readRows(mysql, saleIds)
    const after = await readStocks(saleIds)

    return saleIds.flatMap((saleId, at) => {
      const sale = sales.get(saleId)
      if (!sale) return []
      const stock = after[at]
      const { count: unsettledCount, oldestMs: unsettledOldestMs } = ledgers[at] as Ledger
      const { awaitingPaymentUnits, paidUnits } = live.get(saleId) ?? NOTHING_SOLD
      const returnDueCount = due.get(saleId) ?? 0
      const isStill =
        stock !== undefined &&
        stock.state !== 'warming' &&
        stock.unitsLeft === before[at]?.unitsLeft &&
        stock.seq === before[at]?.seq &&
        stock.revision === sale.revision &&
        unsettledCount === 0 &&
        returnDueCount === 0
      return [
        {
          saleId,
          quota: sale.quota,
          stock,
          unsettledCount,
          unsettledOldestMs,
          awaitingPaymentUnits,
          paidUnits,
          oversoldUnits: Math.max(0, awaitingPaymentUnits + paidUnits - sale.quota),
          returnDueCount,
          driftUnits: isStill ? stock.quota - stock.unitsLeft - sale.unitsSold : undefined,
        },
      ]
    })
  }
}

interface Ledger {
  count: number
  oldestMs: number
}

async function readLedger(redis: Redis, saleId: number): Promise<Ledger> {
  const { unsettled, unsettledDue } = stockKeys(saleId)
  const [count, first, last, time] = await redisAnswer(
    Promise.all([
      redis.hlen(unsettled),
      redis.zrange(unsettledDue, '0', String(LEDGER_LOOK - 1)),
      redis.zrange(unsettledDue, String(-LEDGER_LOOK), '-1'),
      redis.time(),
    ]),
  )
  const orderIds = [...new Set([...first, ...last])]
  if (orderIds.length === 0) return { count, oldestMs: 0 }
  const nowMs = Number(time[0]) * 1000 + Number(time[1]) / 1000
  const entries = await redisAnswer(redis.hmget(unsettled, ...orderIds))
  // `userId:quantity:reservedAtMs:…`; one that was settled in between is null.
  const reservedAtMs = entries.flatMap((entry) => (entry === null ? [] : [Number(entry.split(':')[2])]))
  return { count, oldestMs: reservedAtMs.length === 0 ? 0 : Math.max(0, nowMs - Math.min(...reservedAtMs)) }
}

const NOTHING_SOLD = { awaitingPaymentUnits: 0, paidUnits: 0 }

async function readRows(mysql: Mysql, saleIds: readonly number[]) {
  type SaleRow = RowDataPacket & { saleId: number; quota: number; unitsSold: number; revision: number }
  type LiveRow = RowDataPacket & { saleId: number; state: 'awaiting_payment' | 'paid'; units: string }
  type DueRow = RowDataPacket & { saleId: number; orders: number }
  return mysql.use(async ({ connection }) => {
    const [dueRows] = await connection.query<DueRow[]>(
      'SELECT sale_id AS saleId, COUNT(*) AS orders FROM orders WHERE return_due = 1 AND sale_id IN (?) GROUP BY sale_id',
      [saleIds],
    )
    const [saleRows] = await connection.query<SaleRow[]>(
      'SELECT id AS saleId, quota, units_sold AS unitsSold, revision FROM sales WHERE id IN (?)',
      [saleIds],
    )
    // From the orders themselves: `units_sold` is what is to be checked.
    const [liveRows] = await connection.query<LiveRow[]>(
      `SELECT sale_id AS saleId, state, SUM(quantity) AS units
         FROM orders FORCE INDEX (one_live_order_per_user_and_sale)
        WHERE sale_id IN (?) AND live = 1 GROUP BY sale_id, state`,
      [saleIds],
    )
    const live = new Map<number, typeof NOTHING_SOLD>()
    for (const { saleId, state, units } of liveRows) {
      const sold = live.get(saleId) ?? { ...NOTHING_SOLD }
      sold[state === 'paid' ? 'paidUnits' : 'awaitingPaymentUnits'] = Number(units)
      live.set(saleId, sold)
    }
    return {
      sales: new Map(saleRows.map((row) => [row.saleId, row])),
      live,
      due: new Map(dueRows.map((row) => [row.saleId, row.orders])),
    }
  }, DEADLINE_MS)
}
