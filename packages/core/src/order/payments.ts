import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2/promise'

import { crashPoint } from '../crash-point.ts'
import { MYSQL_DEADLINE_MS, mayRunAgain, type Mysql } from '../mysql/connect-mysql.ts'
import { gatherReads } from '../mysql/gather-reads.ts'
import type { OrderState } from './orders.ts'
import type { PaymentEvent, PaymentGateway } from './payment-gateway.ts'

export type PaymentState = 'started' | 'succeeded' | 'failed' | 'refund_due' | 'refunded'
/** Why captured money is given back. */
export type RefundCause = 'order-ended' | 'second-payment' | 'wrong-amount'

export type StartOutcome =
  | { kind: 'started'; paymentId: number; paymentUrl: string }
  /** The order is not waiting for money; this is how it stands. */
  | { kind: 'not_payable'; state: OrderState }
  /** There is no such order, or not yet. */
  | { kind: 'not_placed' }

export type EventOutcome =
  | { kind: 'paid'; saleId: number }
  | { kind: 'failed' | 'duplicate' }
  | { kind: 'refund_due'; cause: RefundCause }
  /** No payment of ours: nothing is stored, and the provider sends it again. */
  | { kind: 'unknown_payment' }

export interface Payments {
  /** Begins a payment, or answers the one that is begun: whoever asks twice pays once. */
  start(orderId: string, returnUrl: string): Promise<StartOutcome>
  /**
   * Takes what a provider says, once, however often and late it says it.
   *
   * Money for an order that waits for it pays it, whatever the time is. All other money is given back.
   */
  take(event: PaymentEvent): Promise<EventOutcome>
}

interface PaymentRow {
  id: number
  orderId: string
  providerRef: string | null
  paymentUrl: string | null
  amountCents: number
  currency: string
  state: PaymentState
}
type Row = RowDataPacket & PaymentRow

const COLUMNS = `id, order_id AS orderId, provider_ref AS providerRef, payment_url AS paymentUrl,
  amount_cents AS amountCents, currency, state`

const READ_PAYABLE = `
  SELECT orders.id AS orderId, orders.state, orders.amount_cents AS amountCents, orders.currency,
         orders.pay_before AS payBefore, payments.id AS paymentId, payments.payment_url AS paymentUrl
    FROM orders LEFT JOIN payments
      ON payments.order_id = orders.id AND payments.provider = ? AND payments.state = 'started'
   WHERE orders.id IN (?) ORDER BY payments.id DESC`

/**
 * FOR UPDATE: whoever begins the same payment waits for the order's row, and then reads what was written meanwhile, as
 * only a locking read does.
 */
const INSERT_STARTED = `
  INSERT INTO payments (order_id, provider, amount_cents, currency, state)
  SELECT orders.id, ?, orders.amount_cents, orders.currency, 'started'
    FROM orders LEFT JOIN payments AS standing
      ON standing.order_id = orders.id AND standing.provider = ? AND standing.state = 'started'
   WHERE orders.id = ? AND orders.state = 'awaiting_payment' AND standing.id IS NULL
     FOR UPDATE`
const BEGIN_TRIES_MAX = 5

/** Lock order: the order, then its payments. The sale's row is never locked: paying is in nobody's way. */
export function createPayments({ mysql, gateway }: { mysql: Mysql; gateway: PaymentGateway }): Payments {
  const beginPayment = createBeginPayment(mysql, gateway.provider)

  return {
    async start(orderId, returnUrl) {
      const begun = await beginPayment(orderId)
      if (begun.kind !== 'begun') return begun
      const { paymentId, amountCents, currency, payBeforeMs } = begun
      if (begun.paymentUrl) return { kind: 'started', paymentId, paymentUrl: begun.paymentUrl }

      // With no lock in hand: nobody waits for one while another company answers. Lost here, it is asked again.
      const { providerRef, paymentUrl } = await gateway.start({
        paymentId,
        amountCents,
        currency,
        returnUrl,
        payBeforeMs,
      })
      await mysql.use(
        ({ connection }) =>
          connection.query(
            'UPDATE payments SET provider_ref = COALESCE(provider_ref, ?), payment_url = ? WHERE id = ?',
            [providerRef, paymentUrl, paymentId],
          ),
        undefined,
        'begun',
      )
      return { kind: 'started', paymentId, paymentUrl }
    },

    async take(event) {
      const outcome = await mysql.transaction<EventOutcome>(async ({ connection }) => {
        const [[named]] = await connection.query<Row[]>(
          `SELECT ${COLUMNS} FROM payments WHERE id = ? AND provider = ?`,
          [event.paymentId, gateway.provider],
        )
        if (!named) return { kind: 'unknown_payment' }
        const order = await lockOrder(connection, named.orderId)
        const payment = await lockCapture(connection, gateway.provider, named.id, event)
        return decide(connection, event, payment, order)
      })
      if (outcome.kind === 'paid') crashPoint('after-pay-commit')
      return outcome
    },
  }
}

interface Payable {
  orderId: string
  state: OrderState
  amountCents: number
  currency: string
  payBefore: Date
  paymentId: number | null
  paymentUrl: string | null
}

/**
 * Each statement is a transaction of its own. In one of several statements the order would stay locked, and the
 * connection taken, for as many turns of an event loop that may be late. What locks is not gathered: one order that
 * somebody else has locked would hold up all of them.
 */
function createBeginPayment(mysql: Mysql, provider: string) {
  const find = gatherReads<Payable>(async (orderIds, withinMs) => {
    const rows = await mysql.use(
      async ({ connection }) => {
        const [found] = await connection.query<(RowDataPacket & Payable)[]>(READ_PAYABLE, [
          provider,
          orderIds,
        ])
        return found
      },
      withinMs,
      'gathered',
    )
    // Of several the first one that was started, which is the last one here.
    return new Map(rows.map((row) => [row.orderId, row]))
  }, MYSQL_DEADLINE_MS)

  const insert = (orderId: string): Promise<number | undefined> =>
    mysql.use(
      async ({ connection }) => {
        try {
          const [header] = await connection.query<ResultSetHeader>(INSERT_STARTED, [
            provider,
            provider,
            orderId,
          ])
          return header.affectedRows === 1 ? header.insertId : undefined
        } catch (error) {
          if (mayRunAgain(error)) return undefined
          throw error
        }
      },
      undefined,
      'changes',
    )

  return async (orderId: string) => {
    for (let attempt = 1; attempt <= BEGIN_TRIES_MAX; attempt += 1) {
      const order = await find(orderId)
      if (!order) return { kind: 'not_placed' as const }
      const { state, amountCents, currency, paymentUrl } = order
      if (state !== 'awaiting_payment') return { kind: 'not_payable' as const, state }
      const payment = {
        kind: 'begun' as const,
        amountCents,
        currency,
        payBeforeMs: order.payBefore.getTime(),
      }
      if (order.paymentId !== null) return { ...payment, paymentId: order.paymentId, paymentUrl }
      const paymentId = await insert(orderId)
      if (paymentId !== undefined) return { ...payment, paymentId, paymentUrl: null }
      // It was paid, has ended or was begun by somebody else since it was read.
    }
    throw new Error(`order ${orderId} changed each time a payment was to begin`)
  }
}

type LockedOrder = { state: OrderState; saleId: number }

async function lockOrder(connection: Connection, orderId: string): Promise<LockedOrder | undefined> {
  const [[order]] = await connection.query<(RowDataPacket & LockedOrder)[]>(
    'SELECT state, sale_id AS saleId FROM orders WHERE id = ? FOR UPDATE',
    [orderId],
  )
  return order
}

/** The row of this very capture. A second one of the same payment gets a row of its own: it is money too. */
async function lockCapture(
  connection: Connection,
  provider: string,
  paymentId: number,
  { providerRef }: PaymentEvent,
): Promise<PaymentRow> {
  const [[named]] = await connection.query<Row[]>(`SELECT ${COLUMNS} FROM payments WHERE id = ? FOR UPDATE`, [
    paymentId,
  ])
  if (!named) throw new Error(`payment ${paymentId} is gone`)
  if (named.providerRef === providerRef) return named
  if (named.providerRef === null) {
    await connection.query('UPDATE payments SET provider_ref = ? WHERE id = ?', [providerRef, paymentId])
    return named
  }
  const [[known]] = await connection.query<Row[]>(
    `SELECT ${COLUMNS} FROM payments WHERE provider_ref = ? FOR UPDATE`,
    [providerRef],
  )
  if (known) return known
  const { orderId, amountCents, currency } = named
  const [{ insertId: id }] = await connection.query<ResultSetHeader>(
    `INSERT INTO payments (order_id, provider, provider_ref, amount_cents, currency, state)
     VALUES (?, ?, ?, ?, ?, 'failed')`,
    [orderId, provider, providerRef, amountCents, currency],
  )
  return { id, orderId, providerRef, paymentUrl: null, amountCents, currency, state: 'failed' }
}

async function decide(
  connection: Connection,
  event: PaymentEvent,
  payment: PaymentRow,
  order: LockedOrder | undefined,
): Promise<EventOutcome> {
  const isOpen = payment.state === 'started' || payment.state === 'failed'
  // Money that was taken stays taken, whatever comes late or again.
  if (!isOpen) return { kind: 'duplicate' }
  if (event.result === 'failed') {
    await connection.query(`UPDATE payments SET state = 'failed' WHERE id = ?`, [payment.id])
    return { kind: 'failed' }
  }

  const cause = refundCause(event, payment, order?.state)
  await connection.query(
    'UPDATE payments SET state = ?, cause = ?, captured_cents = ?, captured_currency = ? WHERE id = ?',
    [cause ? 'refund_due' : 'succeeded', cause ?? null, event.amountCents, event.currency, payment.id],
  )
  if (cause || !order) return { kind: 'refund_due', cause: cause ?? 'order-ended' }
  await connection.query(
    `UPDATE orders SET state = 'paid', paid_at = UTC_TIMESTAMP(3) WHERE id = ? AND state = 'awaiting_payment'`,
    [payment.orderId],
  )
  return { kind: 'paid', saleId: order.saleId }
}

function refundCause(
  event: PaymentEvent,
  { amountCents, currency }: PaymentRow,
  orderState: OrderState | undefined,
): RefundCause | undefined {
  if (orderState === 'paid') return 'second-payment'
  if (orderState !== 'awaiting_payment') return 'order-ended'
  return event.amountCents === amountCents && event.currency === currency ? undefined : 'wrong-amount'
}
