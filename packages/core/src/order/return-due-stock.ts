import type { RowDataPacket } from 'mysql2/promise'

import type { Mysql } from '../mysql/connect-mysql.ts'
import { groupBySale } from '../sale/group-by-sale.ts'
import type { ReturnStock } from '../stock/return-stock.ts'
import { cooldownsOf } from './cooldowns.ts'
import type { OrderState } from './orders.ts'

const SWEEP_MAX = 1_000

type DueRow = RowDataPacket & {
  orderId: string
  saleId: number
  userId: number
  state: OrderState
  endedAt: Date | null
}

/**
 * Tells Redis about ended orders that it was not told about yet; the mark goes only after Redis has answered.
 *
 * @returns how many orders were told.
 */
export type ReturnDueStock = () => Promise<number>

export function createReturnDueStock(
  mysql: Mysql,
  returnStock: ReturnStock,
  cooldownMs: number,
): ReturnDueStock {
  return async () => {
    let told = 0
    for (;;) {
      const due = await mysql.use(async ({ connection }) => {
        const [rows] = await connection.query<DueRow[]>(
          `SELECT id AS orderId, sale_id AS saleId, user_id AS userId, state, ended_at AS endedAt
             FROM orders WHERE return_due = 1 LIMIT ?`,
          [SWEEP_MAX],
        )
        return rows
      })
      for (const [saleId, orders] of groupBySale(due)) {
        const ended = orders.map((order) => ({ ...order, endedAtMs: order.endedAt?.getTime() }))
        await tellReturn({ mysql, returnStock, cooldownMs }, saleId, ended)
      }
      told += due.length
      if (due.length < SWEEP_MAX) return told
    }
  }
}

/**
 * One sale's ended orders: Redis first, then the mark, so that a crash in between only says it again.
 *
 * @param markWithinMs for who cannot wait: the sweep says it again and sets the mark
 */
export async function tellReturn(
  deps: { mysql: Mysql; returnStock: ReturnStock; cooldownMs: number },
  saleId: number,
  orders: readonly { orderId: string; userId: number; state: OrderState; endedAtMs: number | undefined }[],
  markWithinMs?: number,
): Promise<void> {
  const orderIds = orders.map((order) => order.orderId)
  await deps.returnStock(saleId, orderIds, cooldownsOf(orders, deps.cooldownMs))
  await deps.mysql.use(
    ({ connection }) => connection.query('UPDATE orders SET return_due = NULL WHERE id IN (?)', [orderIds]),
    markWithinMs,
  )
}
