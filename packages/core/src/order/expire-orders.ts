import type { Connection, RowDataPacket } from 'mysql2/promise'

import { crashPoint } from '../crash-point.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import { groupBySale } from '../sale/group-by-sale.ts'

/** Orders that one sweep of a sale takes at most; each holds the sale's row while it runs. */
const SWEEP_MAX = 1_000
const DEADLINE_MS = 10_000

/**
 * Ends orders whose time to pay is over, and counts their units back in MySQL; Redis is told by `returnDueStock`.
 *
 * One sweep, no timer per order: nothing that is lost can keep stock away.
 *
 * @returns how many orders it ended.
 */
export type ExpireOrders = () => Promise<number>

/** @param onUnpaid hears, after the commit, whose orders were ended; a crash in between is a strike that nobody gets. */
export function createExpireOrders(
  mysql: Mysql,
  onUnpaid: (userIds: readonly number[], saleId: number) => void = () => undefined,
): ExpireOrders {
  /** Until nothing is due, or what is due is being paid right now: a backlog must not wait for the next second. */
  return async () => {
    let ended = 0
    for (;;) {
      const { dueCount, endedCount } = await sweep()
      ended += endedCount
      if (dueCount < SWEEP_MAX || endedCount === 0) return ended
    }
  }

  async function sweep(): Promise<{ dueCount: number; endedCount: number }> {
    const due = await mysql.use(async ({ connection }) => {
      const [rows] = await connection.query<(RowDataPacket & { id: string; saleId: number })[]>(
        `SELECT id, sale_id AS saleId FROM orders
          WHERE state = 'awaiting_payment' AND pay_before < UTC_TIMESTAMP(3) ORDER BY pay_before LIMIT ?`,
        [SWEEP_MAX],
      )
      return rows
    })
    let endedCount = 0
    for (const [saleId, orders] of groupBySale(due)) {
      const userIds = await mysql.transaction(
        ({ connection }) =>
          expireInSale(
            connection,
            saleId,
            orders.map((order) => order.id),
          ),
        DEADLINE_MS,
      )
      if (userIds.length > 0) crashPoint('after-expire-commit')
      endedCount += userIds.length
      onUnpaid(userIds, saleId)
    }
    return { dueCount: due.length, endedCount }
  }
}

/** Lock order: sale row, then orders. A row that is being paid right now is skipped and looked at again next time. */
async function expireInSale(connection: Connection, saleId: number, orderIds: string[]): Promise<number[]> {
  await connection.query('SELECT id FROM sales WHERE id = ? FOR UPDATE', [saleId])
  const [rows] = await connection.query<(RowDataPacket & { id: string; userId: number; quantity: number })[]>(
    `SELECT id, user_id AS userId, quantity FROM orders
      WHERE id IN (?) AND state = 'awaiting_payment' AND pay_before < UTC_TIMESTAMP(3) FOR UPDATE SKIP LOCKED`,
    [orderIds],
  )
  if (rows.length === 0) return []
  await connection.query(
    `UPDATE orders SET state = 'expired', live = NULL, return_due = 1, ended_at = UTC_TIMESTAMP(3) WHERE id IN (?)`,
    [rows.map((row) => row.id)],
  )
  const units = rows.reduce((sum, row) => sum + row.quantity, 0)
  await connection.query('UPDATE sales SET units_sold = units_sold - ? WHERE id = ?', [units, saleId])
  return rows.map((row) => row.userId)
}
