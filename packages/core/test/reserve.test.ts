import { createReserve, type ReserveRequest } from '@blitzbuy/core/stock/reserve'
import { createReturnStock } from '@blitzbuy/core/stock/return-stock'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { orderKey, stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { beforeAll, describe, expect, it } from 'vitest'

import { addSale, addWarmSale, newUserId, unitsLeft, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
let reserve: ReturnType<typeof createReserve>
beforeAll(() => {
  reserve = createReserve(stores.redis)
})

const SOON_MS = 60_000
let orders = 0
function request(userId = newUserId(), quantity = 1): ReserveRequest {
  orders += 1
  return {
    orderId: String(orders).padStart(26, '0'),
    userId,
    quantity,
    requestId: 'r-1',
    tokenIssuedAtMs: Date.now() + orders,
  }
}
const notAfter = (): number => Date.now() + SOON_MS

async function one(saleId: number, asked: ReserveRequest) {
  const { outcomes } = await reserve(saleId, notAfter(), [asked])
  return outcomes[0]
}

/** unitsLeft + all holds = quota: what every script must leave behind. */
async function expectUnitsInBalance(saleId: number, quota: number): Promise<void> {
  const holds = await stores.redis.hvals(stockKeys(saleId).holds)
  const held = holds.reduce((sum, hold) => sum + Number(hold.split(':')[1]), 0)
  expect((await unitsLeft(stores, saleId)) ?? Number.NaN).toBe(quota - held)
}

describe('reserve', () => {
  it('never sells more units than the quota, however many buyers race', async () => {
    const saleId = await addWarmSale(stores, { quota: 50 })

    const calls = Array.from({ length: 500 }, () => one(saleId, request()))
    const outcomes = await Promise.all(calls)

    expect(outcomes.filter((outcome) => outcome?.kind === 'reserved')).toHaveLength(50)
    expect(outcomes.filter((outcome) => outcome?.kind === 'sold_out')).toHaveLength(450)
    expect(await unitsLeft(stores, saleId)).toBe(0)
    expect(await stores.redis.zcard(stockKeys(saleId).unsettledDue)).toBe(50)
    await expectUnitsInBalance(saleId, 50)
  })

  it('never sells more units than the quota to buyers of different quantities in one batch', async () => {
    const saleId = await addWarmSale(stores, { quota: 5, unitsPerUser: 3 })

    const { outcomes } = await reserve(
      saleId,
      notAfter(),
      [3, 3, 2, 1].map((quantity) => request(newUserId(), quantity)),
    )

    expect(outcomes.map((outcome) => outcome.kind)).toEqual([
      'reserved',
      'too_few_left',
      'reserved',
      'sold_out',
    ])
    await expectUnitsInBalance(saleId, 5)
  })

  it('gives a buyer who asks again the order they already hold', async () => {
    const saleId = await addWarmSale(stores)
    const first = request()
    await one(saleId, first)

    expect(await one(saleId, request(first.userId))).toEqual({
      kind: 'already_reserved',
      orderId: first.orderId,
    })
    expect(await unitsLeft(stores, saleId)).toBe(9)
  })

  it('takes units once when the same call is repeated after a lost answer', async () => {
    const saleId = await addWarmSale(stores)
    const asked = request()

    const first = await one(saleId, asked)
    expect(await one(saleId, asked)).toEqual(first)
    expect(await unitsLeft(stores, saleId)).toBe(9)
  })

  it('finds taken what an earlier buyer of the same list has taken', async () => {
    const saleId = await addWarmSale(stores, { quota: 5, unitsPerUser: 2 })
    const first = request()
    const again = { ...request(first.userId), quantity: 2 }

    const { outcomes } = await reserve(saleId, notAfter(), [
      first,
      first,
      { ...first, quantity: 2 },
      again,
      request(newUserId(), 2),
    ])

    const taken = { kind: 'already_reserved', orderId: first.orderId }
    expect(outcomes).toMatchObject([
      { kind: 'reserved' },
      outcomes[0] as object,
      taken,
      taken,
      { kind: 'reserved' },
    ])
    expect(await unitsLeft(stores, saleId)).toBe(2)
    await expectUnitsInBalance(saleId, 5)
  })

  it('takes as many reservations as still fit below the cap of the ledger, within one list too', async () => {
    const saleId = await addWarmSale(stores)
    const capped = createReserve(stores.redis, { ledgerCap: 2, relayAfterMs: 10_000 })

    const { outcomes } = await capped(saleId, notAfter(), [request(), request(), request()])

    expect(outcomes.map((outcome) => outcome.kind)).toEqual(['reserved', 'reserved', 'overloaded'])
    expect(await stores.redis.hlen(stockKeys(saleId).unsettled)).toBe(2)
  })

  it('does not take the same id with another quantity for the same call', async () => {
    const saleId = await addWarmSale(stores, { unitsPerUser: 2 })
    const asked = request()
    await one(saleId, asked)
    expect(await one(saleId, { ...asked, quantity: 2 })).toEqual({
      kind: 'already_reserved',
      orderId: asked.orderId,
    })
    expect(await unitsLeft(stores, saleId)).toBe(9)
  })

  it('tells the holder of the last unit about their order, not that it is sold out or closed', async () => {
    const saleId = await addWarmSale(stores, { quota: 1 })
    const first = request()
    await one(saleId, first)
    expect(await one(saleId, request())).toMatchObject({ kind: 'sold_out', unitsLeft: 0 })

    await stores.redis.hset(stockKeys(saleId).stock, 'state', 'closed')
    expect(await one(saleId, request(first.userId))).toMatchObject({ kind: 'already_reserved' })
    expect(await one(saleId, request())).toEqual({ kind: 'closed' })
  })

  it('sells nothing outside the window, by the clock of Redis', async () => {
    const hour = 3_600_000
    const opensAt = new Date(Date.now() + hour)
    const early = await addWarmSale(stores, { opensAt, closesAt: new Date(Date.now() + 2 * hour) })
    const late = await addWarmSale(stores, {
      opensAt: new Date(Date.now() - hour),
      closesAt: new Date(Date.now() - 1),
    })

    expect(await one(early, request())).toEqual({ kind: 'not_open', opensAtMs: opensAt.getTime() })
    expect(await one(late, request())).toEqual({ kind: 'closed' })
  })

  it('tells a sale without a copy from a sold-out one', async () => {
    const saleId = await addSale(stores)
    expect(await one(saleId, request())).toEqual({ kind: 'not_warmed' })
  })

  it('refuses more units than one user may have', async () => {
    const saleId = await addWarmSale(stores, { unitsPerUser: 2 })
    expect(await one(saleId, request(newUserId(), 3))).toEqual({ kind: 'over_limit', unitsPerUser: 2 })
    expect(await one(saleId, request(newUserId(), 2))).toMatchObject({ kind: 'reserved' })
  })

  it('takes nothing for callers who have given up by the time Redis goes on', async () => {
    const saleId = await addWarmSale(stores)
    const { outcomes } = await reserve(saleId, Date.now() - 1_000, [request(), request()])
    expect(outcomes).toEqual([{ kind: 'too_late' }, { kind: 'too_late' }])
    expect(await unitsLeft(stores, saleId)).toBe(10)
  })

  it('refuses new buyers when too many reservations wait for MySQL', async () => {
    const saleId = await addWarmSale(stores)
    const capped = createReserve(stores.redis, { ledgerCap: 2, relayAfterMs: 10_000 })
    const { outcomes } = await capped(saleId, notAfter(), [request(), request(), request()])
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(['reserved', 'reserved', 'overloaded'])
  })

  it('goes on after the scripts were flushed', async () => {
    const saleId = await addWarmSale(stores)
    await stores.redis.script('FLUSH')
    expect(await one(saleId, request())).toMatchObject({ kind: 'reserved' })
  })
})

describe('settle and return', () => {
  const settle = (
    saleId: number,
    decidedAtMs: number,
    asked: ReserveRequest,
    state: 'placed' | 'ended' | 'rejected',
  ) => createSettle(stores.redis)(saleId, decidedAtMs, [{ ...asked, state }])
  const giveBack = (saleId: number, asked: ReserveRequest) =>
    createReturnStock(stores.redis)(saleId, [asked.orderId])

  it('takes a placed order off the ledger and keeps its units', async () => {
    const saleId = await addWarmSale(stores)
    const asked = request()
    await one(saleId, asked)
    expect(await settle(saleId, Date.now(), asked, 'placed')).toBe('settled')

    expect(await stores.redis.hlen(stockKeys(saleId).unsettled)).toBe(0)
    expect(await stores.redis.zcard(stockKeys(saleId).unsettledDue)).toBe(0)
    expect(await stores.redis.hget(orderKey(saleId, asked.orderId), 'state')).toBe('placed')
    expect(await unitsLeft(stores, saleId)).toBe(9)
  })

  it.each(['ended', 'rejected'] as const)(
    'gives the units of an order that MySQL calls %s back, once',
    async (state) => {
      const saleId = await addWarmSale(stores)
      const asked = request()
      await one(saleId, asked)
      await settle(saleId, Date.now(), asked, state)
      await settle(saleId, Date.now(), asked, state)

      expect(await unitsLeft(stores, saleId)).toBe(10)
      expect(await one(saleId, request(asked.userId))).toMatchObject({ kind: 'reserved' })
      await expectUnitsInBalance(saleId, 10)
    },
  )

  it('holds the units of a placed order that Redis has lost', async () => {
    const saleId = await addWarmSale(stores)
    const lost = request()
    await settle(saleId, Date.now(), lost, 'placed')
    await settle(saleId, Date.now(), lost, 'placed')

    expect(await unitsLeft(stores, saleId)).toBe(9)
    expect(await one(saleId, request(lost.userId))).toEqual({
      kind: 'already_reserved',
      orderId: lost.orderId,
    })
  })

  it('does not bring an ended order back by a late word that it was placed', async () => {
    const saleId = await addWarmSale(stores)
    const asked = request()
    await one(saleId, asked)
    await giveBack(saleId, asked)
    await settle(saleId, Date.now(), asked, 'placed')

    expect(await unitsLeft(stores, saleId)).toBe(10)
    expect(await stores.redis.hget(orderKey(saleId, asked.orderId), 'state')).toBe('ended')
  })

  it('does not believe a word that is older than a minute', async () => {
    const saleId = await addWarmSale(stores)
    const asked = request()
    await one(saleId, asked)
    expect(await settle(saleId, Date.now() - 61_000, asked, 'rejected')).toBe('stale')
    expect(await unitsLeft(stores, saleId)).toBe(9)
  })

  it('returns units once, and lets the same buyer have them again', async () => {
    const saleId = await addWarmSale(stores, { quota: 1 })
    const asked = request()
    await one(saleId, asked)
    await giveBack(saleId, asked)
    await giveBack(saleId, asked)

    expect(await unitsLeft(stores, saleId)).toBe(1)
    expect(await one(saleId, request(asked.userId))).toMatchObject({ kind: 'reserved' })
  })

  it('makes no stock out of nothing where there is no copy', async () => {
    const saleId = await addSale(stores)
    const asked = request()
    await settle(saleId, Date.now(), asked, 'placed')
    await giveBack(saleId, asked)
    expect(await stores.redis.exists(stockKeys(saleId).stock)).toBe(0)
  })

  it('leads an id that has ended to its end, not to new units', async () => {
    const saleId = await addWarmSale(stores)
    const asked = request()
    await one(saleId, asked)
    await giveBack(saleId, asked)
    expect(await one(saleId, asked)).toEqual({ kind: 'already_reserved', orderId: asked.orderId })
    expect(await unitsLeft(stores, saleId)).toBe(10)
  })
})
