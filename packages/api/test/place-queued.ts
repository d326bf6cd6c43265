import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'

import type { OwnStores } from '../../core/test/own-stores.ts'

/** What the order worker does with the reservations of a sale: MySQL decides, then Redis is told. */
export async function placeQueued(stores: OwnStores, saleId: number): Promise<void> {
  const { decidedAtMs, decisions } = await decideQueued(stores, saleId)
  await createSettle(stores.redis)(saleId, decidedAtMs, decisions)
}

/** Its first half. */
export async function decideQueued(stores: OwnStores, saleId: number) {
  const unsettled = await stores.redis.hgetall(stockKeys(saleId).unsettled)
  const reservations = Object.entries(unsettled).map(([orderId, entry]) => {
    const [userId, quantity, reservedAtMs] = entry.split(':').map(Number)
    return { orderId, userId: userId!, quantity: quantity!, reservedAtMs: reservedAtMs!, requestId: 'r' }
  })
  return createPlaceReservations(stores.mysql)(saleId, reservations)
}
