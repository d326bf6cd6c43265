import { StoreAway } from '../errors.ts'
import type { BatchOutcome, PurchaseBatches, PurchaseRequest } from '../reservation/purchase-batches.ts'
import type { ReturnStock } from '../stock/return-stock.ts'
import { cooldownsOf } from './cooldowns.ts'
import type { PlacedOrder } from './orders.ts'
import type { QueuedOrder, ReadOrder } from './read-order.ts'

export type PurchaseOutcome =
  | Exclude<BatchOutcome, { kind: 'already_reserved' }>
  /** The order that this buyer has in this sale, as it stands. */
  | { kind: 'already_ordered'; order: QueuedOrder | PlacedOrder }

/**
 * One buyer's try to buy: steps 4 and 5 of a purchase.
 *
 * (user, sale) is the idempotency key: whoever has an order in this sale gets that order. If it has ended, its
 * units go back and the buyer tries anew.
 */
export type Purchase = (request: PurchaseRequest) => Promise<PurchaseOutcome>

export function createPurchase(deps: {
  batches: PurchaseBatches
  readOrder: ReadOrder
  returnStock: ReturnStock
  cooldownMs: number
}): Purchase {
  const { batches, readOrder, returnStock, cooldownMs } = deps

  return (request) =>
    batches
      .purchase(request)
      .then((outcome) => (outcome.kind === 'already_reserved' ? askOrder(request, outcome.orderId) : outcome))

  async function askOrder(request: PurchaseRequest, orderId: string): Promise<PurchaseOutcome> {
    const order = await readOrder.held(orderId, request.userId).catch(toUnknown)
    if (!order) return { kind: 'outcome_unknown' }
    if (order.state === 'queued' || !hasEnded(order)) return { kind: 'already_ordered', order }
    // Its hold is left over: MySQL says that it has ended.
    await returnStock(
      request.saleId,
      [orderId],
      cooldownsOf([{ ...order, userId: request.userId }], cooldownMs),
    )
    const again = await batches.purchase(request)
    return again.kind === 'already_reserved' ? { kind: 'outcome_unknown' } : again
  }
}

/** The buyer has an order, and the store that knows how it stands is away: asking again will tell. */
function toUnknown(error: unknown): undefined {
  if (!(error instanceof StoreAway)) throw error
}

/** Cancelled, expired or rejected: it holds no units and never will again. */
export function hasEnded(order: QueuedOrder | PlacedOrder): boolean {
  return order.state === 'cancelled' || order.state === 'expired' || order.state === 'rejected'
}
