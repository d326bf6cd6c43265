import { createExpireOrders } from '@blitzbuy/core/order/expire-orders'
import { createReturnDueStock } from '@blitzbuy/core/order/return-due-stock'
import { createOrders } from '@blitzbuy/core/order/orders'
import { createPlaceReservations, readDecisions } from '@blitzbuy/core/order/place-reservations'
import type { Reservation } from '@blitzbuy/core/reservation/reservations-made'
import { createReserve } from '@blitzbuy/core/stock/reserve'
import { createReturnStock } from '@blitzbuy/core/stock/return-stock'
import { createSettle } from '@blitzbuy/core/stock/settle'
import type { RowDataPacket } from 'mysql2/promise'
import { describe, expect, it } from 'vitest'

import { addSale, addWarmSale, newUserId, unitsLeft, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
const place = (saleId: number, list: readonly Reservation[]) =>
  createPlaceReservations(stores.mysql)(saleId, list)

let made = 0
function reservation(changes: Partial<Reservation> = {}): Reservation {
  made += 1
  return {
    orderId: String(made).padStart(26, '0'),
    userId: newUserId(),
    quantity: 1,
    reservedAtMs: Date.now() + made,
    requestId: 'r-1',
    ...changes,
  }
}

async function unitsSold(saleId: number): Promise<{ sold: number; live: number }> {
  return stores.mysql.use(async ({ connection }) => {
    const [[row]] = await connection.query<(RowDataPacket & { sold: number; live: string })[]>(
      `SELECT units_sold AS sold,
              (SELECT COALESCE(SUM(quantity), 0) FROM orders WHERE sale_id = sales.id AND live = 1) AS live
         FROM sales WHERE id = ?`,
      [saleId],
    )
    return { sold: row?.sold ?? -1, live: Number(row?.live) }
  })
}

describe('placing reservations', () => {
  it('never places more units than the quota, however many workers place at once', async () => {
    const saleId = await addSale(stores, { quota: 100, unitsPerUser: 3 })
    const batches = Array.from({ length: 8 }, () =>
      Array.from({ length: 30 }, (_, i) => reservation({ quantity: (i % 3) + 1 })),
    )
    await Promise.all(batches.map((batch) => place(saleId, batch)))
    const { sold, live } = await unitsSold(saleId)
    expect(sold).toBe(live)
    expect(sold).toBeLessThanOrEqual(100)
    expect(sold).toBeGreaterThan(97)
  })

  it('decides each order once: repeating it answers what stands', async () => {
    const saleId = await addSale(stores, { quota: 1 })
    const first = reservation()
    const second = reservation()
    const decided = await place(saleId, [first, second])
    expect(decided.decisions.map((decision) => decision.state)).toEqual(['placed', 'rejected'])

    const again = await place(saleId, [second, first, second])
    expect(Object.fromEntries(again.decisions.map(({ orderId, state }) => [orderId, state]))).toEqual({
      [first.orderId]: 'placed',
      [second.orderId]: 'rejected',
    })
    expect(await unitsSold(saleId)).toEqual({ sold: 1, live: 1 })
  })

  it('decides a reservation once that comes twice in one batch, as two messages bring it', async () => {
    const saleId = await addSale(stores, { quota: 10 })
    const one = reservation({ quantity: 2 })
    const { decisions } = await place(saleId, [one, { ...one }])
    expect(decisions).toMatchObject([{ orderId: one.orderId, state: 'placed' }])
    expect(await unitsSold(saleId)).toEqual({ sold: 2, live: 2 })
  })

  it('places one live order per user, also when two of them come in one batch or in two at once', async () => {
    const saleId = await addSale(stores, { quota: 10 })
    const userId = newUserId()
    await Promise.all([
      place(saleId, [reservation({ userId }), reservation({ userId })]),
      place(saleId, [reservation({ userId }), reservation({ userId })]),
    ])
    expect(await unitsSold(saleId)).toEqual({ sold: 1, live: 1 })
  })

  it('admits in the order in which units were reserved and skips only what does not fit', async () => {
    const saleId = await addSale(stores, { quota: 3, unitsPerUser: 3 })
    const big = reservation({ quantity: 3, reservedAtMs: 2_000 })
    const first = reservation({ quantity: 2, reservedAtMs: 1_000 })
    const last = reservation({ quantity: 1, reservedAtMs: 3_000 })
    const { decisions } = await place(saleId, [last, big, first])
    expect(Object.fromEntries(decisions.map(({ orderId, state }) => [orderId, state]))).toEqual({
      [first.orderId]: 'placed',
      [big.orderId]: 'rejected',
      [last.orderId]: 'placed',
    })
  })

  it('decides nothing about what names a sale that does not exist, and says so', async () => {
    const stray = reservation()
    const placing = await place(4_000_000_000, [stray])
    expect(placing).toMatchObject({
      decisions: [],
      poison: [{ cause: 'unknown-sale', reservation: stray }],
    })
    expect(await createOrders(stores.mysql).find(stray.orderId)).toBeUndefined()
  })
})

describe('an order that is not paid in time', () => {
  it('ends once, gives its units back to MySQL and then to Redis, and lets its buyer buy again', async () => {
    const saleId = await addWarmSale(stores, { quota: 2, paymentWindowSeconds: 0 })
    const asked = reservation()
    await createReserve(stores.redis)(saleId, Date.now() + 60_000, [{ ...asked, tokenIssuedAtMs: 1 }])
    const { decidedAtMs, decisions } = await place(saleId, [asked])
    await createSettle(stores.redis)(saleId, decidedAtMs, decisions)
    expect(await unitsLeft(stores, saleId)).toBe(1)

    const expire = createExpireOrders(stores.mysql)
    await expect.poll(expire).toBe(1)
    expect(await expire()).toBe(0)
    expect(await unitsSold(saleId)).toEqual({ sold: 0, live: 0 })

    const tell = createReturnDueStock(stores.mysql, createReturnStock(stores.redis), 30_000)
    expect(await tell()).toBe(1)
    expect(await tell()).toBe(0)
    expect(await unitsLeft(stores, saleId)).toBe(2)
    expect((await readDecisions(stores.mysql, saleId, decisions)).decisions[0]?.state).toBe('ended')

    const anew = reservation({ userId: asked.userId })
    expect((await place(saleId, [anew])).decisions[0]?.state).toBe('placed')
  })
})
