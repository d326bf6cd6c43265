import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise'

import { crashPoint } from '../crash-point.ts'
import { StoreAway } from '../errors.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import type { ReturnStock } from '../stock/return-stock.ts'
import type { OrderState, PlacedOrder } from './orders.ts'
import { tellReturn } from './return-due-stock.ts'

/** A MySQL that went away after the commit must not cost the buyer this wait and that of the next read too. */
const MARK_WITHIN_MS = 300

/**
 * Ends an order that is not paid yet, and gives its units back: MySQL in one transaction, then Redis.
 *
 * Of a payment, a cancellation and the expiry of the same moment one wins; Redis that is away is told by the sweep.
 *
 * @returns the state that stands, `cancelled` also for who cancelled before.
 */
export type CancelOrder = (order: PlacedOrder & { userId: number }) => Promise<OrderState>

export function createCancelOrder(deps: {
  mysql: Mysql
  returnStock: ReturnStock
  cooldownMs: number
}): CancelOrder {
  const { mysql } = deps

  return async ({ orderId, saleId, userId, quantity }) => {
    const standing = await mysql.transaction(async ({ connection }) => {
      // Lock order: sale row, then orders.
      await connection.query('SELECT id FROM sales WHERE id = ? FOR UPDATE', [saleId])
      const [ended] = await connection.query<ResultSetHeader>(
        `UPDATE orders SET state = 'cancelled', live = NULL, return_due = 1, ended_at = UTC_TIMESTAMP(3)
          WHERE id = ? AND state = 'awaiting_payment'`,
        [orderId],
      )
      if (ended.affectedRows === 1) {
        await connection.query('UPDATE sales SET units_sold = units_sold - ? WHERE id = ?', [
          quantity,
          saleId,
        ])
      }
      const [[row]] = await connection.query<
        (RowDataPacket & { state: OrderState; endedAt: Date | null; returnDue: number | null })[]
      >('SELECT state, ended_at AS endedAt, return_due AS returnDue FROM orders WHERE id = ?', [orderId])
      return row
    })
    if (!standing) throw new Error(`order ${orderId} is gone`)
    crashPoint('after-cancel-commit')
    const { state, endedAt, returnDue } = standing
    if (returnDue === 1) {
      const ended = { orderId, userId, state, endedAtMs: endedAt?.getTime() }
      await tellReturn(deps, saleId, [ended], MARK_WITHIN_MS).catch(leaveToSweep)
    }
    return state
  }
}

/** The order is cancelled whatever Redis says: `return_due` stands until it was told. */
function leaveToSweep(error: unknown): void {
  if (!(error instanceof StoreAway)) throw error
}
