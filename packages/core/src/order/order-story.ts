import type { RowDataPacket } from 'mysql2/promise'

import type { Mysql } from '../mysql/connect-mysql.ts'
import { maskPhone, parsePhone } from '../user/phone.ts'
import type { OrderState } from './orders.ts'
import type { PaymentState } from './payments.ts'

/** An order as an operator looks at it. */
export interface OrderRecord {
  orderId: string
  saleId: number
  title: string | undefined
  userId: number
  nickname: string | undefined
  phoneMasked: string | undefined
  state: OrderState
  quantity: number
  amountCents: number
  currency: string
  reservedAtMs: number
  placedAtMs: number
  payBeforeMs: number | undefined
  paidAtMs: number | undefined
  endedAtMs: number | undefined
  reason: string | undefined
  /** It has ended, and Redis has not been told yet that its units are back. */
  isReturnDue: boolean
}

export interface PaymentRecord {
  paymentId: number
  provider: string
  providerRef: string | undefined
  state: PaymentState
  amountCents: number
  currency: string
  capturedCents: number | undefined
  capturedCurrency: string | undefined
  cause: string | undefined
  createdAtMs: number
}

export interface OrderStory extends OrderRecord {
  payments: PaymentRecord[]
}

export interface OrderFilter {
  saleId?: number | undefined
  userId?: number | undefined
  state?: OrderState | undefined
}

/** Orders for operators: of anybody, in MySQL. */
export interface OrderStories {
  find(orderId: string): Promise<OrderStory | undefined>
  /** The newest first. */
  list(filter: OrderFilter, limit: number): Promise<OrderRecord[]>
  /** The account of a number, however it is spelled; undefined when nobody has it. */
  findUserByPhone(phone: string): Promise<number | undefined>
}

/** An index holds the orders of a user, and those of a sale; a hundred thousand of one sale are sorted for a page. */
const DEADLINE_MS = 5_000

const SELECT = `SELECT orders.id AS orderId, orders.sale_id AS saleId, products.title, orders.user_id AS userId, nickname,
  phone, orders.state, orders.quantity, amount_cents AS amountCents, orders.currency, reserved_at AS reservedAt,
  placed_at AS placedAt, pay_before AS payBefore, paid_at AS paidAt, ended_at AS endedAt, reason,
  return_due AS returnDue
  FROM orders LEFT JOIN users ON users.id = orders.user_id LEFT JOIN sales ON sales.id = orders.sale_id
  LEFT JOIN products ON products.id = sales.product_id`

interface Row {
  orderId: string
  saleId: number
  title: string | null
  userId: number
  nickname: string | null
  phone: string | null
  state: OrderState
  quantity: number
  amountCents: number
  currency: string
  reservedAt: Date
  placedAt: Date
  payBefore: Date | null
  paidAt: Date | null
  endedAt: Date | null
  reason: string | null
  returnDue: number | null
}

export function createOrderStories(mysql: Mysql): OrderStories {
  return {
    async find(orderId) {
      return mysql.use(async ({ connection }) => {
        const [[row]] = await connection.query<(RowDataPacket & Row)[]>(`${SELECT} WHERE orders.id = ?`, [
          orderId,
        ])
        if (!row) return undefined
        const [payments] = await connection.query<(RowDataPacket & PaymentRow)[]>(
          `SELECT id AS paymentId, provider, provider_ref AS providerRef, state, amount_cents AS amountCents, currency,
                  captured_cents AS capturedCents, captured_currency AS capturedCurrency, cause,
                  created_at AS createdAt
             FROM payments WHERE order_id = ? ORDER BY id`,
          [orderId],
        )
        return { ...toRecord(row), payments: payments.map(toPayment) }
      })
    },

    async list({ saleId, userId, state }, limit) {
      const conditions = [
        ['orders.sale_id = ?', saleId],
        ['orders.user_id = ?', userId],
        ['orders.state = ?', state],
      ].filter(([, value]) => value !== undefined)
      const where = ['TRUE', ...conditions.map(([condition]) => condition)].join(' AND ')
      const rows = await mysql.use(async ({ connection }) => {
        const [found] = await connection.query<(RowDataPacket & Row)[]>(
          `${SELECT} WHERE ${where} ORDER BY placed_at DESC, orders.id DESC LIMIT ?`,
          [...conditions.map(([, value]) => value), limit],
        )
        return found
      }, DEADLINE_MS)
      return rows.map(toRecord)
    },

    async findUserByPhone(phone) {
      const e164 = parsePhone(phone)
      if (e164 === undefined) return undefined
      const [[row]] = await mysql.use(({ connection }) =>
        connection.query<(RowDataPacket & { id: number })[]>('SELECT id FROM users WHERE phone = ?', [e164]),
      )
      return row?.id
    },
  }
}

interface PaymentRow {
  paymentId: number
  provider: string
  providerRef: string | null
  state: PaymentState
  amountCents: number
  currency: string
  capturedCents: number | null
  capturedCurrency: string | null
  cause: string | null
  createdAt: Date
}

function toRecord(row: Row): OrderRecord {
  const { orderId, saleId, userId, state, quantity, amountCents, currency } = row
  return {
    orderId,
    saleId,
    userId,
    state,
    quantity,
    amountCents,
    currency,
    title: row.title ?? undefined,
    nickname: row.nickname ?? undefined,
    phoneMasked: row.phone === null ? undefined : maskPhone(row.phone),
    reservedAtMs: row.reservedAt.getTime(),
    placedAtMs: row.placedAt.getTime(),
    payBeforeMs: row.payBefore?.getTime(),
    paidAtMs: row.paidAt?.getTime(),
    endedAtMs: row.endedAt?.getTime(),
    reason: row.reason ?? undefined,
    isReturnDue: row.returnDue === 1,
  }
}

function toPayment(row: PaymentRow): PaymentRecord {
  const { paymentId, provider, state, amountCents, currency } = row
  return {
    paymentId,
    provider,
    state,
    amountCents,
    currency,
    providerRef: row.providerRef ?? undefined,
    capturedCents: row.capturedCents ?? undefined,
    capturedCurrency: row.capturedCurrency ?? undefined,
    cause: row.cause ?? undefined,
    createdAtMs: row.createdAt.getTime(),
  }
}
