import { and, asc, desc, eq, inArray, lt, or, type SQL } from 'drizzle-orm'

import type { Mysql } from '../mysql/connect-mysql.ts'
import { orders, payments, products, sales } from '../mysql/tables.ts'
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

const COLUMNS = {
  orderId: orders.id,
  saleId: orders.saleId,
  title: products.title,
  state: orders.state,
  quantity: orders.quantity,
  amountCents: orders.amountCents,
  currency: orders.currency,
  payBefore: orders.payBefore,
  placedAt: orders.placedAt,
  paidAt: orders.paidAt,
  endedAt: orders.endedAt,
  reason: orders.reason,
}

const PAYMENT_COLUMNS = {
  orderId: payments.orderId,
  paymentId: payments.id,
  state: payments.state,
  capturedCents: payments.capturedCents,
  capturedCurrency: payments.capturedCurrency,
  cause: payments.cause,
}

interface MoneyRow {
  paymentId: number
  state: PaymentState
  capturedCents: number | null
  capturedCurrency: string | null
  cause: string | null
}

export function createOrders(mysql: Mysql): Orders {
  const select = (where: SQL | undefined, limit: number, withinMs?: number) =>
    mysql.use(async ({ orm }) => {
      const rows = await orm
        .select(COLUMNS)
        .from(orders)
        .leftJoin(sales, eq(sales.id, orders.saleId))
        .leftJoin(products, eq(products.id, sales.productId))
        .where(where)
        .orderBy(desc(orders.placedAt), desc(orders.id))
        .limit(limit)
      const ids = rows.map((row) => row.orderId)
      const money =
        ids.length === 0
          ? []
          : await orm
              .select(PAYMENT_COLUMNS)
              .from(payments)
              .where(inArray(payments.orderId, ids))
              .orderBy(asc(payments.id))
      return rows.map((row) => ({ ...row, money: money.filter(({ orderId }) => orderId === row.orderId) }))
    }, withinMs)

  return {
    async find(orderId, withinMs) {
      const [row] = await select(eq(orders.id, orderId), 1, withinMs)
      return row && toOrder(row)
    },

    async findAll(orderIds) {
      if (orderIds.length === 0) return []
      const rows = await select(inArray(orders.id, [...orderIds]), orderIds.length)
      return rows.map(toOrder)
    },

    async findLive(saleId, userId) {
      const own = and(eq(orders.saleId, saleId), eq(orders.userId, userId), eq(orders.live, 1))
      const [row] = await select(own, 1)
      return row && toOrder(row)
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
      const older =
        after &&
        or(
          lt(orders.placedAt, after.placedAt),
          and(eq(orders.placedAt, after.placedAt), lt(orders.id, after.orderId)),
        )
      // One more than asked for tells whether there is a next page.
      const rows = await select(and(eq(orders.userId, userId), older), limit + 1)
      const page = rows.slice(0, limit).map(toOrder)
      const last = page.at(-1)
      return { orders: page, nextCursor: rows.length > limit && last ? writeCursor(last) : undefined }
    },
  }
}

function toOrder(row: {
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
  money: MoneyRow[]
}): PlacedOrder {
  const { money, payBefore, placedAt, paidAt, endedAt, title, reason, ...same } = row
  return {
    ...same,
    title: title ?? undefined,
    payBeforeMs: payBefore?.getTime(),
    placedAtMs: placedAt.getTime(),
    paidAtMs: paidAt?.getTime(),
    endedAtMs: endedAt?.getTime(),
    reason: reason ?? undefined,
    payment: paymentOf(money),
    refunds: money.flatMap(toRefund),
  }
}

function paymentOf(money: readonly MoneyRow[]): PlacedOrder['payment'] {
  const tried = money.flatMap(({ paymentId, state }) =>
    state === 'refund_due' || state === 'refunded' ? [] : [{ paymentId, state }],
  )
  return tried.find(({ state }) => state === 'succeeded') ?? tried.at(-1)
}

function toRefund({ state, capturedCents, capturedCurrency, cause }: MoneyRow): Refund[] {
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
