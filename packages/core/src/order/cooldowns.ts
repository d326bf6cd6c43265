import type { Cooldown } from '../stock/return-stock.ts'
import type { OrderState } from './orders.ts'

/** Who cancelled waits from the end of that order, however often and late Redis is told. */
export function cooldownsOf(
  orders: readonly { orderId: string; userId: number; state: OrderState; endedAtMs: number | undefined }[],
  cooldownMs: number,
): Cooldown[] {
  return orders.flatMap(({ orderId, userId, state, endedAtMs }) =>
    state === 'cancelled' && endedAtMs !== undefined
      ? [{ orderId, userId, untilMs: endedAtMs + cooldownMs }]
      : [],
  )
}
