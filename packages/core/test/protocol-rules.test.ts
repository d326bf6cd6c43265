import { createExpireOrders } from '@blitzbuy/core/order/expire-orders'
import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { UNITS_ROSE, channelOf } from '@blitzbuy/core/redis/channels'
import { connectRedisSubscriber } from '@blitzbuy/core/redis/connect-redis'
import { createRedisClock } from '@blitzbuy/core/redis/redis-clock'
import { createOrderIds } from '@blitzbuy/core/reservation/order-id'
import { createPurchaseBatches } from '@blitzbuy/core/reservation/purchase-batches'
import type { Reservation } from '@blitzbuy/core/reservation/reservations-made'
import { createReserve } from '@blitzbuy/core/stock/reserve'
import { createReturnStock } from '@blitzbuy/core/stock/return-stock'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { createSoldOutFlags } from '@blitzbuy/core/stock/sold-out-flags'
import { createLog } from '@blitzbuy/core/log'
import { describe, expect, it, vi } from 'vitest'

import { addWarmSale, newUserId, unitsLeft, useOwnStores } from './own-stores.ts'

/** Rules of docs/protocol.md that no other test would miss. */
const stores = useOwnStores()
const log = createLog({ name: 'test', level: 'fatal' })
let made = 0

async function reserveOne(saleId: number, quantity = 1): Promise<Reservation> {
  made += 1
  const asked = { orderId: String(made).padStart(26, '0'), userId: newUserId(), quantity, requestId: 'r' }
  const { nowMs } = await createReserve(stores.redis)(saleId, Date.now() + 60_000, [
    { ...asked, tokenIssuedAtMs: 1 },
  ])
  return { ...asked, reservedAtMs: nowMs }
}

describe('a message that is delivered again after its order has ended', () => {
  it('is settled as ended: MySQL’s state of now is told, not what was placed once', async () => {
    const saleId = await addWarmSale(stores, { paymentWindowSeconds: 0 })
    const one = await reserveOne(saleId)
    const place = createPlaceReservations(stores.mysql)
    await place(saleId, [one])
    await expect.poll(() => createExpireOrders(stores.mysql)()).toBe(1)

    const again = await place(saleId, [one])

    expect(again.decisions).toMatchObject([{ orderId: one.orderId, state: 'ended' }])
    await createSettle(stores.redis)(saleId, again.decidedAtMs, again.decisions)
    expect(await unitsLeft(stores, saleId)).toBe(10)
  })
})

describe('a buyer who wants more units than are left', () => {
  it('raises no flag: somebody who wants fewer can still buy', async () => {
    const saleId = await addWarmSale(stores, { quota: 3, unitsPerUser: 2 })
    const flags = createSoldOutFlags()
    const clock = createRedisClock(stores.redis)
    await clock.refresh()
    const batches = createPurchaseBatches({
      reserve: createReserve(stores.redis),
      handOff: Object.assign(async () => 'confirmed' as const, {
        keptCount: () => 0,
        close: async () => undefined,
      }),
      flags,
      clock,
      orderIds: createOrderIds(['o'.repeat(32)]),
      log,
    })
    const buy = (quantity: number) =>
      batches.purchase({ saleId, userId: newUserId(), quantity, requestId: 'r', tokenIssuedAtMs: 1 })

    expect((await buy(2)).kind).toBe('reserved')
    expect(await buy(2)).toEqual({ kind: 'too_few_left', unitsLeft: 1 })
    expect(flags.isRaised(saleId)).toBe(false)
    expect((await buy(1)).kind).toBe('reserved')
    expect((await buy(1)).kind).toBe('sold_out')
    expect(flags.isRaised(saleId)).toBe(true)
  })
})

describe('every way in which units come back', () => {
  it('lowers the flags of all instances, with a number that is higher each time', async () => {
    const saleId = await addWarmSale(stores)
    const heard: string[] = []
    const subscriber = connectRedisSubscriber({ url: stores.redisUrl })
    subscriber.on('message', (_channel: string, message: string) => {
      if (message.startsWith(`${saleId}:`)) heard.push(message)
    })
    await subscriber.subscribe(channelOf(stores.redis, UNITS_ROSE))
    const settle = createSettle(stores.redis)
    const ends: ((one: Reservation) => Promise<unknown>)[] = [
      (one) => settle(saleId, Date.now(), [{ ...one, state: 'rejected' }]),
      (one) => settle(saleId, Date.now(), [{ ...one, state: 'ended' }]),
      (one) => createReturnStock(stores.redis)(saleId, [one.orderId]),
    ]
    for (const [at, end] of ends.entries()) {
      const one = await reserveOne(saleId)
      await end(one)
      await vi.waitFor(() => expect(heard).toHaveLength(at + 1))
    }
    const seqs = heard.map((message) => Number(message.split(':')[2]))
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b))
    expect(new Set(seqs).size).toBe(3)
    subscriber.disconnect()
  })
})
