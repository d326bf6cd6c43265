import type { Redis } from 'ioredis'
import type { RowDataPacket } from 'mysql2/promise'

import { ClocksDiffer } from '../errors.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import { LIST_MAX, bindScript } from '../redis/lua-script.ts'
import { noteReconciledScript, relistScript } from '../stock/build-stock.ts'
import { createReadStocks } from '../stock/read-stock.ts'
import { createReturnStock } from '../stock/return-stock.ts'
import { createSettle, type Decision } from '../stock/settle.ts'
import { stockKeys } from '../stock/stock-keys.ts'

export interface Reconciliation {
  kind: 'reconciled'
  /** What was compared. */
  holdCount: number
  liveOrderCount: number
  /** Holds of orders that have ended, or were rejected. */
  endedCount: number
  /** Live orders that were not held, or that their buyer did not lead to. */
  unheldCount: number
  /** Holds that MySQL knows nothing of and that are on the way to nobody. */
  unlistedCount: number
  /** quota - units left - units held, when nothing moved meanwhile; 0 by the rule of units. */
  unitsDrift: number | undefined
  isRepaired: boolean
}

/**
 * Compares the Redis copy of a sale with the live orders in MySQL, order by order, and repairs what differs.
 *
 * Sums are never compared: while buyers buy they differ by what is on its way. A difference is looked at again in
 * MySQL before it is repaired, and every repair does nothing when it comes too late.
 *
 * @param repair false only reports.
 */
export type ReconcileSale = (
  saleId: number,
  options?: { repair: boolean },
) => Promise<Reconciliation | { kind: 'not_warmed' }>

/** Pages of 500 made one HMGET of 11 ms among a million holders; of 250 none over 10 ms. */
const PAGE = 250
const DEADLINE_MS = 5_000

type Row = Decision
type Hold = { orderId: string; userId: number; quantity: number }

export function createReconcileSale({ mysql, redis }: { mysql: Mysql; redis: Redis }): ReconcileSale {
  const readStocks = createReadStocks(redis)
  const returnStock = createReturnStock(redis)
  const settle = createSettle(redis)
  const relist = bindScript(redis, relistScript)
  const noteReconciled = bindScript(redis, noteReconciledScript)

  return async (saleId, { repair } = { repair: true }) => {
    const keys = stockKeys(saleId)
    const [before] = await readStocks([saleId])
    // A copy that is being built does not know everything yet, and is compared as soon as it is open.
    if (!before || before.state === 'warming') return { kind: 'not_warmed' }
    const found = { holdCount: 0, liveOrderCount: 0, endedCount: 0, unheldCount: 0, unlistedCount: 0 }
    let unitsHeld = 0

    await Promise.all([compareHolds(), compareLiveOrders()])

    const [after] = await readStocks([saleId])
    const isStill = after?.unitsLeft === before.unitsLeft && after.seq === before.seq
    if (repair) await noteReconciled(keys, { epoch: before.epoch })
    const unitsDrift = isStill ? before.quota - before.unitsLeft - unitsHeld : undefined
    return { kind: 'reconciled', ...found, unitsDrift, isRepaired: repair }

    async function compareHolds(): Promise<void> {
      // HSCAN may hand out an entry twice while the hash grows; what counts is repaired by id all the same.
      for await (const page of ahead(scanHolds(redis, keys.holds))) {
        if (page.length === 0) continue
        found.holdCount += page.length
        unitsHeld += page.reduce((sum, hold) => sum + hold.quantity, 0)
        const orderIds = page.map((hold) => hold.orderId)
        const live = await readLiveIds(mysql, orderIds)
        const doubtful = page.filter((hold) => !live.has(hold.orderId))
        if (doubtful.length > 0) await repairHolds(doubtful)
      }
    }

    async function repairHolds(holds: readonly Hold[]): Promise<void> {
      // The ledger first: who is off it when MySQL is asked has been decided, and its row is there.
      const listed = await redisAnswer(redis.hmget(keys.unsettled, ...holds.map((hold) => hold.orderId)))
      const unlisted = holds.filter((_hold, at) => listed[at] === null)
      if (unlisted.length === 0) return
      const { readAtMs, rows } = await readRows(
        mysql,
        unlisted.map((hold) => hold.orderId),
      )
      const byId = new Map(rows.map((row) => [row.orderId, row]))
      const rejected = rows.filter((row) => row.state === 'rejected')
      const ended = rows.filter((row) => row.state === 'ended')
      const unknown = unlisted.filter((hold) => !byId.has(hold.orderId))
      found.endedCount += rejected.length + ended.length
      found.unlistedCount += unknown.length
      if (!repair) return
      await tell(readAtMs, rejected)
      const endedIds = ended.map((row) => row.orderId)
      await returnStock(saleId, endedIds)
      for (let from = 0; from < unknown.length; from += LIST_MAX) {
        await relist(keys, { requestId: 'reconcile' }, unknown.slice(from, from + LIST_MAX))
      }
    }

    async function compareLiveOrders(): Promise<void> {
      for await (const page of ahead(scanLiveOrders(mysql, saleId))) {
        found.liveOrderCount += page.length
        const [holds, holders] = await redisAnswer(
          Promise.all([
            redis.hmget(keys.holds, ...page.map((order) => order.orderId)),
            redis.hmget(keys.holders, ...page.map((order) => String(order.userId))),
          ]),
        )
        const isRight = (order: Row, at: number): boolean =>
          holds[at] !== null && holders[at] === order.orderId
        const doubtful = page.filter((order, at) => !isRight(order, at))
        if (doubtful.length === 0) continue
        const { readAtMs, rows } = await readRows(
          mysql,
          doubtful.map((order) => order.orderId),
        )
        const unheld = rows.filter((row) => row.state === 'placed')
        found.unheldCount += unheld.length
        if (repair) await tell(readAtMs, unheld)
      }
    }

    async function tell(readAtMs: number, decisions: readonly Decision[]): Promise<void> {
      if ((await settle(saleId, readAtMs, decisions)) === 'stale') throw new ClocksDiffer()
    }
  }
}

/** Have this sale compared at the next look, not only when its minute is over. */
export async function askForReconcile(redis: Redis, saleId: number): Promise<void> {
  // Taking a field away makes no hash where there is none.
  await redisAnswer(redis.hdel(stockKeys(saleId).stock, 'reconciledAtMs'))
}

/** Reads the next page while the last one is looked at. */
async function* ahead<T>(pages: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = pages.next()
  for (;;) {
    const { done, value } = await next
    if (done) return
    next = pages.next()
    // Awaited above, unless the reader gives up before.
    next.catch(() => undefined)
    yield value
  }
}

async function* scanHolds(redis: Redis, holdsKey: string): AsyncGenerator<Hold[]> {
  let cursor = '0'
  do {
    const [next, entries] = await redisAnswer(redis.hscan(holdsKey, cursor, 'COUNT', PAGE))
    const page: Hold[] = []
    for (let at = 0; at < entries.length; at += 2) {
      const [userId, quantity] = (entries[at + 1] as string).split(':').map(Number) as [number, number]
      page.push({ orderId: entries[at] as string, userId, quantity })
    }
    yield page
    cursor = next
  } while (cursor !== '0')
}

/** By user, through the index `one_live_order_per_user_and_sale`, which has the id too: no row is read. */
async function* scanLiveOrders(mysql: Mysql, saleId: number): AsyncGenerator<Row[]> {
  let afterUserId = 0
  for (;;) {
    const page = await mysql.use(async ({ connection }) => {
      const [rows] = await connection.query<(RowDataPacket & Row)[]>(
        `SELECT id AS orderId, user_id AS userId FROM orders FORCE INDEX (one_live_order_per_user_and_sale)
          WHERE sale_id = ? AND live = 1 AND user_id > ? ORDER BY user_id LIMIT ?`,
        [saleId, afterUserId, PAGE],
      )
      return rows
    }, DEADLINE_MS)
    if (page.length > 0) yield page
    if (page.length < PAGE) return
    afterUserId = page.at(-1)?.userId ?? afterUserId
  }
}

async function readLiveIds(mysql: Mysql, orderIds: readonly string[]): Promise<Set<string>> {
  return mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<(RowDataPacket & { id: string })[]>(
      'SELECT id FROM orders WHERE id IN (?) AND live = 1',
      [orderIds],
    )
    return new Set(rows.map((row) => row.id))
  }, DEADLINE_MS)
}

/** What MySQL says of these orders now; its time comes first, so that nothing that is read is older. */
async function readRows(
  mysql: Mysql,
  orderIds: readonly string[],
): Promise<{ readAtMs: number; rows: Row[] }> {
  return mysql.use(async ({ connection }) => {
    const [[clock]] = await connection.query<(RowDataPacket & { now: Date })[]>(
      'SELECT UTC_TIMESTAMP(3) AS now',
    )
    const [rows] = await connection.query<(RowDataPacket & Row)[]>(
      `SELECT id AS orderId, user_id AS userId, quantity,
              IF(live = 1, 'placed', IF(state = 'rejected', 'rejected', 'ended')) AS state
         FROM orders WHERE id IN (?)`,
      [orderIds],
    )
    return { readAtMs: clock?.now.getTime() ?? 0, rows }
  }, DEADLINE_MS)
}
