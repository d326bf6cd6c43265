import { randomUUID } from 'node:crypto'

import type { ResultSetHeader } from 'mysql2/promise'

import type { Mysql } from '../mysql/connect-mysql.ts'
import type { PlacedOrder } from './orders.ts'

/**
 * Marks an order as paid, once. While the row is `awaiting_payment`, paying wins, whatever the time is.
 *
 * There is no payment provider behind it yet: the payment is recorded as `demo`.
 *
 * @returns whether this call paid it; if not, the order was no longer waiting for money.
 */
export type PayOrder = (order: PlacedOrder) => Promise<boolean>

export function createPayOrder(mysql: Mysql): PayOrder {
  return (order) =>
    mysql.transaction(async ({ connection }) => {
      const [paid] = await connection.query<ResultSetHeader>(
        `UPDATE orders SET state = 'paid', paid_at = UTC_TIMESTAMP(3) WHERE id = ? AND state = 'awaiting_payment'`,
        [order.orderId],
      )
      if (paid.affectedRows === 0) return false
      await connection.query(
        `INSERT INTO payments (order_id, provider, provider_ref, amount_cents, currency, state)
         VALUES (?, 'demo', ?, ?, ?, 'succeeded')`,
        [order.orderId, randomUUID(), order.amountCents, order.currency],
      )
      return true
    })
}
