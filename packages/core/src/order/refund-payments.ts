import type { RowDataPacket } from 'mysql2/promise'

import type { Mysql } from '../mysql/connect-mysql.ts'
import type { RefundGateway } from './payment-gateway.ts'

const SWEEP_MAX = 200

/**
 * Asks the provider to give back what belongs to no order, again and again until it says that it did.
 *
 * @returns how many captures are given back now.
 */
export type RefundPayments = () => Promise<number>

export function createRefundPayments(mysql: Mysql, gateway: RefundGateway): RefundPayments {
  // What the provider keeps pending must not keep the rest from being asked: a sweep goes on where the last one ended.
  let afterId = 0

  return async () => {
    const due = await mysql.use(async ({ connection }) => {
      const [rows] = await connection.query<(RowDataPacket & { id: number; providerRef: string })[]>(
        `SELECT id, provider_ref AS providerRef FROM payments
          WHERE state = 'refund_due' AND provider = ? AND id > ? ORDER BY id LIMIT ?`,
        [gateway.provider, afterId, SWEEP_MAX],
      )
      return rows
    })
    afterId = due.length < SWEEP_MAX ? 0 : (due.at(-1)?.id ?? 0)
    let refunded = 0
    for (const { id, providerRef } of due) {
      const answer = await gateway.refund({ providerRef, refundKey: `refund-${id}` })
      if (answer === 'pending') continue
      await mysql.use(({ connection }) =>
        connection.query(`UPDATE payments SET state = 'refunded' WHERE id = ? AND state = 'refund_due'`, [
          id,
        ]),
      )
      refunded += 1
    }
    return refunded
  }
}
