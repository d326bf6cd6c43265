import type { RowDataPacket } from 'mysql2/promise'

import type { Mysql } from '../mysql/connect-mysql.ts'
import type { Reservation } from '../reservation/reservations-made.ts'
import { readDecisions, type Decided, type RejectReason } from './place-reservations.ts'

/**
 * Rejects reservations that nobody could decide: each gets its row, for ever. What stands stays as it is.
 *
 * @returns what stands now, to be settled.
 */
export type RejectReservations = (
  saleId: number,
  reservations: readonly Omit<Reservation, 'requestId'>[],
  reason: RejectReason,
) => Promise<Decided>

const DEADLINE_MS = 10_000

export function createRejectReservations(mysql: Mysql): RejectReservations {
  return async (saleId, reservations, reason) => {
    await mysql.transaction(async ({ connection }) => {
      type SaleRow = RowDataPacket & { priceCents: number; currency: string }
      // The sale's lock: a worker with the same reservation in hand comes before or after, never between.
      const [[sale]] = await connection.query<SaleRow[]>(
        'SELECT price_cents AS priceCents, currency FROM sales WHERE id = ? FOR UPDATE',
        [saleId],
      )
      const [[clock]] = await connection.query<(RowDataPacket & { now: Date })[]>(
        'SELECT UTC_TIMESTAMP(3) AS now',
      )
      const [standing] = await connection.query<(RowDataPacket & { id: string })[]>(
        'SELECT id FROM orders WHERE id IN (?)',
        [reservations.map((one) => one.orderId)],
      )
      const decided = new Set(standing.map((row) => row.id))
      const priceCents = sale?.priceCents ?? 0
      const now = clock?.now as Date
      // Nothing is reserved after it is decided; and a moment that no row can hold is why some are rejected.
      const reservedAt = (one: { reservedAtMs: number }): Date =>
        new Date(Math.min(one.reservedAtMs, now.getTime()))
      const rows = reservations
        .filter((one) => !decided.has(one.orderId))
        .map((one) => [
          one.orderId,
          saleId,
          one.userId,
          one.quantity,
          priceCents,
          priceCents * one.quantity,
          sale?.currency ?? 'XXX',
          'rejected',
          reservedAt(one),
          now,
          now,
          reason,
        ])
      if (rows.length > 0) await connection.query(`INSERT INTO orders (${COLUMNS}) VALUES ?`, [rows])
    }, DEADLINE_MS)
    return readDecisions(
      mysql,
      saleId,
      reservations.map(({ orderId, userId, quantity }) => ({ orderId, userId, quantity, state: 'rejected' })),
    )
  }
}

const COLUMNS = `id, sale_id, user_id, quantity, unit_price_cents, amount_cents, currency, state, reserved_at, placed_at,
  ended_at, reason`
