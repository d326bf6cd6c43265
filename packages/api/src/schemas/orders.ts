import type { PlacedOrder } from '@blitzbuy/core/order/orders'
import type { QueuedOrder } from '@blitzbuy/core/order/read-order'
import { Type, type Static } from 'typebox'

export const PurchaseBody = Type.Object(
  { quantity: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })) },
  { additionalProperties: false },
)

export const PurchaseAnswer = Type.Object({
  orderId: Type.String(),
  state: Type.Literal('queued'),
  handoff: Type.Enum(['confirmed', 'ledger']),
  pollAfterMs: Type.Integer(),
})

export const OrderAnswer = Type.Object({
  orderId: Type.String(),
  saleId: Type.Integer(),
  state: Type.Enum(['queued', 'awaiting_payment', 'paid', 'cancelled', 'expired', 'rejected']),
  title: Type.Optional(Type.String()),
  quantity: Type.Optional(Type.Integer()),
  amountCents: Type.Optional(Type.Integer()),
  currency: Type.Optional(Type.String()),
  payBefore: Type.Optional(Type.String()),
  payBeforeMs: Type.Optional(Type.Integer()),
  placedAtMs: Type.Optional(Type.Integer()),
  paidAtMs: Type.Optional(Type.Integer()),
  endedAtMs: Type.Optional(Type.Integer()),
  reason: Type.Optional(Type.String()),
  payment: Type.Optional(
    Type.Object({ paymentId: Type.Integer(), state: Type.Enum(['started', 'succeeded', 'failed']) }),
  ),
  refunds: Type.Optional(
    Type.Array(
      Type.Object({
        state: Type.Enum(['due', 'done']),
        amountCents: Type.Integer(),
        currency: Type.String(),
        cause: Type.Enum(['order-ended', 'second-payment', 'wrong-amount']),
      }),
    ),
  ),
  pollAfterMs: Type.Optional(Type.Integer()),
  aheadAbout: Type.Optional(Type.Integer()),
})
export type OrderAnswer = Static<typeof OrderAnswer>

export const PaymentAnswer = Type.Object({ paymentId: Type.Integer(), paymentUrl: Type.String() })

export const OrderListAnswer = Type.Object({
  orders: Type.Array(OrderAnswer),
  nextCursor: Type.Optional(Type.String()),
})

/** Polls a second that all waiting buyers of a sale together may cost. */
const TARGET_POLLS_PER_SECOND = 2_000
const POLL_MIN_MS = 500
const POLL_MAX_MS = 10_000

/** The more buyers wait, the less often each one asks; spread by 20 %, so that they do not come in waves. */
export function pollAfterMs(queuedCount: number): number {
  const evenMs = (queuedCount / TARGET_POLLS_PER_SECOND) * 1000
  return Math.round(Math.min(POLL_MAX_MS, Math.max(POLL_MIN_MS, evenMs)) * (0.8 + Math.random() * 0.4))
}

export function toOrderAnswer(order: QueuedOrder | PlacedOrder): OrderAnswer {
  if (order.state === 'queued') {
    const { orderId, saleId, state, quantity, queuedCount } = order
    return {
      orderId,
      saleId,
      state,
      ...(quantity !== undefined && { quantity }),
      pollAfterMs: pollAfterMs(queuedCount),
      aheadAbout: Math.max(0, queuedCount - 1),
    }
  }
  const { payBeforeMs, paidAtMs, endedAtMs, title, reason, payment, refunds, ...same } = order
  return {
    ...same,
    ...(title !== undefined && { title }),
    ...(reason !== undefined && { reason }),
    ...(payment && { payment }),
    ...(refunds.length > 0 && { refunds }),
    ...(paidAtMs !== undefined && { paidAtMs }),
    ...(endedAtMs !== undefined && { endedAtMs }),
    ...(payBeforeMs !== undefined && { payBeforeMs, payBefore: new Date(payBeforeMs).toISOString() }),
  }
}
