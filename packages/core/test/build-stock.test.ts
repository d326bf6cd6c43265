import { UNITS_ROSE, channelOf } from '@blitzbuy/core/redis/channels'
import { connectRedisSubscriber } from '@blitzbuy/core/redis/connect-redis'
import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { createReserve } from '@blitzbuy/core/stock/reserve'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { createWarmSale, warmNeed } from '@blitzbuy/core/stock/warm-sale'
import { describe, expect, it, vi } from 'vitest'

import { addSale, addWarmSale, newUserId, unitsLeft, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
let orders = 0
function reservations(count: number, quantity = 1) {
  return Array.from({ length: count }, () => {
    orders += 1
    const orderId = String(orders).padStart(26, '0')
    return { orderId, userId: newUserId(), quantity, requestId: 'r', reservedAtMs: Date.now() }
  })
}
const reserveAll = (saleId: number, list: ReturnType<typeof reservations>) =>
  createReserve(stores.redis)(
    saleId,
    Date.now() + 60_000,
    list.map((reservation) => ({ ...reservation, tokenIssuedAtMs: 1 })),
  )

async function copyOf(saleId: number) {
  const [[copy], sale] = await Promise.all([
    createReadStocks(stores.redis)([saleId]),
    stores.sales.find(saleId),
  ])
  if (!sale) throw new Error('no such sale')
  return { copy, sale }
}

describe('the Redis copy of a sale', () => {
  it('is built once, and a healthy one is left alone', async () => {
    const saleId = await addSale(stores, { quota: 7 })
    const before = await copyOf(saleId)
    expect(warmNeed(before.sale, before.copy, Date.now())).toBe('build')

    expect(await createWarmSale(stores).build(saleId)).toBe('opened')

    const { copy, sale } = await copyOf(saleId)
    expect(copy).toMatchObject({ state: 'open', unitsLeft: 7, quota: 7, epoch: 1 })
    expect(warmNeed(sale, { ...copy!, reconciledAtMs: Date.now() }, Date.now())).toBe('none')
  })

  it('counts live orders of MySQL and what waits in the ledger when it is built anew', async () => {
    const saleId = await addWarmSale(stores, { quota: 1_000, unitsPerUser: 2 })
    const placed = reservations(300, 2)
    await reserveAll(saleId, placed.slice(0, 256))
    await createPlaceReservations(stores.mysql)(saleId, placed)
    const waiting = reservations(200)
    await reserveAll(saleId, waiting)
    // Everything but the ledger is lost.
    const keys = stockKeys(saleId)
    await stores.redis.del(keys.stock, keys.holds, keys.holders)

    await createWarmSale(stores).build(saleId)

    expect(await unitsLeft(stores, saleId)).toBe(1_000 - 600 - 200)
    expect(await stores.redis.hlen(keys.holds)).toBe(500)
    const again = await reserveAll(saleId, [{ ...reservations(1)[0]!, userId: waiting[0]!.userId }])
    expect(again.outcomes[0]).toEqual({ kind: 'already_reserved', orderId: waiting[0]!.orderId })
  })

  it('is right when many warmers build it at once while buyers buy', async () => {
    const saleId = await addWarmSale(stores, { quota: 5_000 })
    const placed = reservations(600)
    for (let from = 0; from < placed.length; from += 200)
      await reserveAll(saleId, placed.slice(from, from + 200))
    await createPlaceReservations(stores.mysql)(saleId, placed.slice(0, 400))

    let isBuilding = true
    const kinds: string[] = []
    const buying = (async () => {
      while (isBuilding) {
        const { outcomes } = await reserveAll(saleId, reservations(3))
        kinds.push(...outcomes.map((outcome) => outcome.kind))
      }
    })()
    const builds = await Promise.all(Array.from({ length: 5 }, () => createWarmSale(stores).build(saleId)))
    isBuilding = false
    await buying

    expect(builds).toContain('opened')
    const { copy, sale } = await copyOf(saleId)
    expect(copy).toMatchObject({ state: 'open', epoch: sale.stockEpoch })
    const holds = await stores.redis.hlen(stockKeys(saleId).holds)
    expect(copy?.unitsLeft).toBe(5_000 - holds)
    const reserved = kinds.filter((kind) => kind === 'reserved').length
    // Nobody's units were forgotten: what MySQL had placed, what waited in the ledger, what was bought meanwhile.
    expect(holds).toBe(placed.length + reserved)
    expect(kinds).toContain('reserved')
    expect(kinds).toContain('not_warmed')
  })

  it('is not built by a warmer that another one has overtaken', async () => {
    const saleId = await addWarmSale(stores)
    await stores.redis.hset(stockKeys(saleId).stock, 'epoch', 99)
    expect(await createWarmSale(stores).build(saleId)).toBe('fenced')
    const { copy } = await copyOf(saleId)
    expect(copy?.epoch).toBe(99)
  })

  it('is built again when its builder gave up, and not before', async () => {
    const saleId = await addWarmSale(stores)
    const { sale, copy } = await copyOf(saleId)
    const half = { ...copy!, state: 'warming' as const }
    expect(warmNeed(sale, half, half.warmingSinceMs + 29_000)).toBe('none')
    expect(warmNeed(sale, half, half.warmingSinceMs + 31_000)).toBe('build')
  })

  it('takes an operator’s settings by revision: later ones win, older ones change nothing', async () => {
    const saleId = await addWarmSale(stores, { quota: 10 })
    await reserveAll(saleId, reservations(4))
    const { sale } = await copyOf(saleId)
    const warmSale = createWarmSale(stores)

    await warmSale.configure({ ...sale, revision: 3, quota: 20 })
    await warmSale.configure({ ...sale, revision: 2, quota: 5 })
    expect(await unitsLeft(stores, saleId)).toBe(16)
    await warmSale.configure({ ...sale, revision: 3, quota: 20 })
    expect(await unitsLeft(stores, saleId)).toBe(16)

    await warmSale.configure({ ...sale, revision: 4, quota: 4, state: 'paused' })
    expect((await copyOf(saleId)).copy).toMatchObject({ state: 'paused', unitsLeft: 0, revision: 4 })
  })

  it('tells every instance when units become free', async () => {
    const saleId = await addWarmSale(stores, { quota: 1 })
    const heard: string[] = []
    const subscriber = connectRedisSubscriber({ url: stores.redisUrl })
    subscriber.on('message', (_channel: string, message: string) => heard.push(message))
    await subscriber.subscribe(channelOf(stores.redis, UNITS_ROSE))
    const { sale } = await copyOf(saleId)

    await createWarmSale(stores).configure({ ...sale, revision: 2, quota: 2 })

    await vi.waitFor(() => expect(heard).toEqual([`${saleId}:1:3`]))
    subscriber.disconnect()
  })
})
