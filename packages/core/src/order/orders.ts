import { and, desc, eq } from 'drizzle-orm'
import type { RowDataPacket } from 'mysql2/promise'

import { MYSQL_DEADLINE_MS, type Mysql, type Standing } from '../mysql/connect-mysql.ts'
import { gatherReads } from '../mysql/gather-reads.ts'
import { orders } from '../mysql/tables.ts'
import type { PaymentState, RefundCause } from './payments.ts'

export type OrderState = 'awaiting_payment' | 'paid' | 'cancelled' | 'expired' | 'rejected'

/** An order as it stands in MySQL. */
export interface PlacedOrder {
  orderId: string
  saleId: number
  title: string | undefined
  state: OrderState
  quantity: number
  amountCents: number
  currency: string
  payBeforeMs: number | undefined
  placedAtMs: number
  paidAtMs: number | undefined
  /** When it was cancelled, expired or rejected. */
  endedAtMs: number | undefined
  reason: string | undefined
  /** The payment that counts: the one that paid it, else the last one that was tried. */
  payment: { paymentId: number; state: 'started' | 'succeeded' | 'failed' } | undefined
  /** Money that was taken and is given back. */
  refunds: Refund[]
}

export interface Refund {
  /** `due`: it is on its way; `done`: the provider has given it back. */
  state: 'due' | 'done'
  amountCents: number
  currency: string
  cause: RefundCause
}

export interface OrderPage {
  orders: PlacedOrder[]
  /** Where the next page begins, or undefined after the last one. */
  nextCursor: string | undefined
}

export interface Orders {
  /** @param withinMs for who has waited for something else already */
  find(orderId: string, withinMs?: number): Promise<PlacedOrder | undefined>
  /** Those that stand, in any order. */
  findAll(orderIds: readonly string[]): Promise<PlacedOrder[]>
  /** The live order of a user in a sale; there is one at most. */
  findLive(saleId: number, userId: number): Promise<PlacedOrder | undefined>
  /** When the last unpaid order of a sale ends; undefined when none is unpaid. */
  lastPayBefore(saleId: number): Promise<number | undefined>
  /** A buyer's orders, newest first. An unreadable cursor begins at the first page. */
  listOf(userId: number, cursor: string | undefined, limit: number): Promise<OrderPage>
}

/** What the joins below hang on; `?` at the end is how many. */
const select = (where: string): string => `
  SELECT page.id AS orderId, page.sale_id AS saleId, products.title, page.state, page.quantity,
         page.amount_cents AS amountCents, page.currency, page.pay_before AS payBefore, page.placed_at AS placedAt,
         page.paid_at AS paidAt, page.ended_at AS endedAt, page.reason,
         payments.id AS paymentId, payments.state AS paymentState, payments.captured_cents AS capturedCents,
         payments.captured_currency AS capturedCurrency, payments.cause
    FROM (SELECT * FROM orders WHERE ${where} ORDER BY placed_at DESC, id DESC LIMIT ?) AS page
    LEFT JOIN sales ON sales.id = page.sale_id
    LEFT JOIN products ON products.id = sales.product_id
    LEFT JOIN payments ON payments.order_id = page.id
   ORDER BY page.placed_at DESC, page.id DESC, payments.id`

const BY_IDS = select('id IN (?)')
const LIVE = select('sale_id = ? AND user_id = ? AND live = 1')
const OF_USER = select('user_id = ?')
const OF_USER_BEFORE = select('user_id = ? AND (placed_at < ? OR (placed_at = ? AND id < ?))')

interface OrderRow {
  orderId: string
  saleId: number
  title: string | null
  state: OrderState
  quantity: number
  amountCents: number
  currency: string
  payBefore: Date | null
  placedAt: Date
  paidAt: Date | null
  endedAt: Date | null
  reason: string | null
}

interface MoneyRow {
  paymentId: number
  paymentState: PaymentState
  capturedCents: number | null
  capturedCurrency: string | null
  cause: string | null
}

/** One for each payment of an order, and one for an order without. */
type Row = RowDataPacket & OrderRow & (MoneyRow | { paymentId: null })

export function createOrders(mysql: Mysql): Orders {
  async function read(sql: string, values: unknown[], withinMs?: number, standing?: Standing) {
    const rows = await mysql.use(
      async ({ connection }) => {
        const [found] = await connection.query<Row[]>(sql, values)
        return found
      },
      withinMs,
      standing,
    )
    return toOrders(rows)
  }

  // Everybody who waits for an order asks for it again and again: they must not stand in the way of who pays.
  const find = gatherReads<PlacedOrder>(async (orderIds, withinMs) => {
    const found = await read(BY_IDS, [orderIds, orderIds.length], withinMs, 'gathered')
    return new Map(found.map((order) => [order.orderId, order]))
  }, MYSQL_DEADLINE_MS)

  return {
    find,

    async findAll(orderIds) {
      return orderIds.length === 0 ? [] : read(BY_IDS, [[...orderIds], orderIds.length])
    },

    async findLive(saleId, userId) {
      const [order] = await read(LIVE, [saleId, userId, 1])
      return order
    },

    lastPayBefore: (saleId) =>
      mysql.use(async ({ orm }) => {
        const [last] = await orm
          .select({ payBefore: orders.payBefore })
          .from(orders)
          .where(and(eq(orders.state, 'awaiting_payment'), eq(orders.saleId, saleId)))
          // Backwards through the index of what is unpaid, up to the first one of this sale.
          .orderBy(desc(orders.payBefore))
          .limit(1)
        return last?.payBefore?.getTime()
      }),

    async listOf(userId, cursor, limit) {
      const after = cursor === undefined ? undefined : readCursor(cursor)
      // One more than asked for tells whether there is a next page.
      const found = after
        ? await read(OF_USER_BEFORE, [userId, after.placedAt, after.placedAt, after.orderId, limit + 1])
        : await read(OF_USER, [userId, limit + 1])
      const page = found.slice(0, limit)
      const last = page.at(-1)
      return { orders: page, nextCursor: found.length > limit && last ? writeCursor(last) : undefined }
    },
  }
}

/** The rows of one order follow each other. */
function toOrders(rows: readonly Row[]): PlacedOrder[] {
  const found: { order: OrderRow; money: MoneyRow[] }[] = []
  for (const row of rows) {
    if (found.at(-1)?.order.orderId !== row.orderId) found.push({ order: row, money: [] })
    if (row.paymentId !== null) found.at(-1)?.money.push(row)
  }
  return found.map(({ order, money }) => toOrder(order, money))
}

function toOrder(row: OrderRow, money: readonly MoneyRow[]): PlacedOrder {
  const { orderId, saleId, title, state, quantity, amountCents, currency } = row
  return {
    orderId,
    saleId,
    title: title ?? undefined,
    state,
    quantity,
    amountCents,
    currency,
    payBeforeMs: row.payBefore?.getTime(),
    placedAtMs: row.placedAt.getTime(),
    paidAtMs: row.paidAt?.getTime(),
    endedAtMs: row.endedAt?.getTime(),
    reason: row.reason ?? undefined,
    payment: paymentOf(money),
    refunds: money.flatMap(toRefund),
  }
}

function paymentOf(money: readonly MoneyRow[]): PlacedOrder['payment'] {
  const tried = money.flatMap(({ paymentId, paymentState: state }) =>
    state === 'refund_due' || state === 'refunded' ? [] : [{ paymentId, state }],
  )
  return tried.find(({ state }) => state === 'succeeded') ?? tried.at(-1)
}

function toRefund({ paymentState: state, capturedCents, capturedCurrency, cause }: MoneyRow): Refund[] {
  if (state !== 'refund_due' && state !== 'refunded') return []
  return [
    {
      state: state === 'refunded' ? 'done' : 'due',
      amountCents: capturedCents ?? 0,
      currency: capturedCurrency ?? '',
      cause: cause as RefundCause,
    },
  ]
}

function writeCursor(order: PlacedOrder): string {
  return `${order.placedAtMs}-${order.orderId}`
}

function readCursor(cursor: string): { placedAt: Date; orderId: string } | undefined {
  const match = /^(\d{1,14})-([0-9A-Z]{26})$/.exec(cursor)
  return match ? { placedAt: new Date(Number(match[1])), orderId: match[2] as string } : undefined
}
