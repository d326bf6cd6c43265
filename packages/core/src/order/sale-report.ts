import type { RowDataPacket } from 'mysql2/promise'

import type { Mysql } from '../mysql/connect-mysql.ts'

/** The story of a sale, as MySQL tells it: finished or not. */
export interface SaleReport {
  /** Orders, units and money by how they stand, and why they were rejected or given back. */
  orders: { state: string; reason: string | undefined; orders: number; units: number; amountCents: number }[]
  buyers: number
  firstReservedAtMs: number | undefined
  lastReservedAtMs: number | undefined
  /** When as many units had been reserved as were on sale at the end; undefined when there never were. */
  soldOutAtMs: number | undefined
  /** From the reservation to its order, by the clocks of Redis and MySQL. */
  placedWithinMs: { average: number; longest: number } | undefined
  payments: { state: string; payments: number; capturedCents: number }[]
  /** What operators did to it. */
  changes: { atMs: number; action: string; actor: string; details: unknown }[]
}

const DEADLINE_MS = 30_000

export async function readSaleReport(mysql: Mysql, saleId: number, quota: number): Promise<SaleReport> {
  const rows = <Row>(sql: string, values: unknown[]): Promise<Row[]> =>
    mysql.use(
      async ({ connection }) => (await connection.query<(RowDataPacket & Row)[]>(sql, values))[0],
      DEADLINE_MS,
    )
  const orders = await rows<{
    state: string
    reason: string | null
    orders: number
    units: string
    amountCents: string
  }>(
    `SELECT state, reason, COUNT(*) AS orders, SUM(quantity) AS units, SUM(amount_cents) AS amountCents
       FROM orders WHERE sale_id = ? GROUP BY state, reason ORDER BY state, reason`,
    [saleId],
  )
  const [times] = await rows<{
    buyers: number
    firstAt: Date | null
    lastAt: Date | null
    averageMicros: string | null
    longestMicros: string | null
  }>(
    `SELECT COUNT(DISTINCT user_id) AS buyers, MIN(reserved_at) AS firstAt, MAX(reserved_at) AS lastAt,
            AVG(TIMESTAMPDIFF(MICROSECOND, reserved_at, placed_at)) AS averageMicros,
            MAX(TIMESTAMPDIFF(MICROSECOND, reserved_at, placed_at)) AS longestMicros
       FROM orders WHERE sale_id = ? AND state <> 'rejected'`,
    [saleId],
  )
  const [soldOut] = await rows<{ at: Date }>(
    `SELECT reserved_at AS at FROM (
       SELECT reserved_at, SUM(quantity) OVER (ORDER BY reserved_at, id) AS units
         FROM orders WHERE sale_id = ? AND state <> 'rejected') AS taken
      WHERE units >= ? ORDER BY reserved_at LIMIT 1`,
    [saleId, quota],
  )
  const payments = await rows<{ state: string; payments: number; capturedCents: string | null }>(
    `SELECT payments.state, COUNT(*) AS payments, SUM(captured_cents) AS capturedCents
       FROM payments JOIN orders ON orders.id = payments.order_id WHERE sale_id = ? GROUP BY payments.state`,
    [saleId],
  )
  const changes = await rows<{ at: Date; action: string; actorId: number | null; details: unknown }>(
    'SELECT created_at AS at, action, actor_id AS actorId, details FROM audit_log WHERE subject = ? ORDER BY id',
    [`sale:${saleId}`],
  )
  return {
    orders: orders.map(({ reason, units, amountCents, ...row }) => ({
      ...row,
      reason: reason ?? undefined,
      units: Number(units),
      amountCents: Number(amountCents),
    })),
    buyers: times?.buyers ?? 0,
    firstReservedAtMs: times?.firstAt?.getTime(),
    lastReservedAtMs: times?.lastAt?.getTime(),
    soldOutAtMs: soldOut?.at.getTime(),
    placedWithinMs:
      times?.averageMicros == null
        ? undefined
        : { average: Number(times.averageMicros) / 1000, longest: Number(times.longestMicros) / 1000 },
    payments: payments.map((row) => ({ ...row, capturedCents: Number(row.capturedCents ?? 0) })),
    changes: changes.map(({ at, action, actorId, details: stored }) => {
      // MariaDB hands JSON out as text.
      const details = (typeof stored === 'string' ? JSON.parse(stored) : stored) as { actor?: string } | null
      return {
        atMs: at.getTime(),
        action,
        actor: actorId === null ? (details?.actor ?? 'unknown') : `user:${actorId}`,
        details,
      }
    }),
  }
}
