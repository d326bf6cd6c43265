import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'

import type { Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import type { RowDataPacket } from 'mysql2/promise'

import { percentile } from '../summary.ts'
import type { Placing } from './scenarios.ts'

/** What the rows of a sale say about how they came: both times are in them. */
export async function readPlacing(
  mysql: Mysql,
  saleId: number,
): Promise<Pick<Placing, 'ordersPerSecond' | 'acceptedToRowP99Ms'>> {
  type Row = RowDataPacket & { reserved: Date; placed: Date }
  const rows = await mysql.use(async ({ connection }) => {
    const [found] = await connection.query<Row[]>(
      'SELECT reserved_at AS reserved, placed_at AS placed FROM orders WHERE sale_id = ?',
      [saleId],
    )
    return found
  })
  const placedMs = rows.map(({ placed }) => placed.getTime()).toSorted((a, b) => a - b)
  const waitedMs = Float64Array.from(rows, ({ reserved, placed }) => placed.getTime() - reserved.getTime())
  const firstMs = placedMs[0] ?? 0
  // Each transaction bears the time of its beginning: the last one's own is not in the difference.
  const lastMs = placedMs.at(-1) ?? 0
  const others = placedMs.filter((ms) => ms < lastMs).length
  return {
    ordersPerSecond: lastMs > firstMs ? (others / (lastMs - firstMs)) * 1000 : Number.NaN,
    acceptedToRowP99Ms: percentile(waitedMs.sort(), 99),
  }
}

const RAW_ROWS = 20_000
const RAW_BATCH = 1_000

/** The most that this MySQL takes from one connection: rows like those of orders, many in one INSERT, nothing else. */
export async function insertRawRows(mysql: Mysql): Promise<number> {
  return mysql.use(async ({ connection }) => {
    await connection.query('CREATE TABLE raw_orders LIKE orders')
    const beganMs = performance.now()
    for (let made = 0; made < RAW_ROWS; made += RAW_BATCH) {
      const now = new Date()
      const rows = Array.from({ length: RAW_BATCH }, (_, at) => [
        randomBytes(13).toString('hex').toUpperCase(),
        1,
        made + at + 1,
        1,
        4_900,
        4_900,
        'USD',
        'awaiting_payment',
        1,
        now,
        now,
        now,
      ])
      await connection.query(
        `INSERT INTO raw_orders (id, sale_id, user_id, quantity, unit_price_cents, amount_cents, currency, state,
           live, pay_before, reserved_at, placed_at) VALUES ?`,
        [rows],
      )
    }
    const rate = (RAW_ROWS / (performance.now() - beganMs)) * 1000
    await connection.query('DROP TABLE raw_orders')
    return rate
  }, 60_000)
}
