import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { createReconcileSale } from '@blitzbuy/core/order/reconcile-sale'
import { createRejectReservations } from '@blitzbuy/core/order/reject-reservations'
import { UNITS_ROSE, channelOf } from '@blitzbuy/core/redis/channels'
import { connectRedisSubscriber } from '@blitzbuy/core/redis/connect-redis'
import { bindScript } from '@blitzbuy/core/redis/lua-script'
import { relistScript } from '@blitzbuy/core/stock/build-stock'
import { createRemoveStock, listKeptSales } from '@blitzbuy/core/stock/kept-sales'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { createReserve, RESERVE_LIMITS } from '@blitzbuy/core/stock/reserve'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { createWarmSale, warmNeed } from '@blitzbuy/core/stock/warm-sale'
import { describe, expect, it, vi } from 'vitest'

import { addWarmSale, newUserId, unitsLeft, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
let made = 0
function reservations(count: number) {
  return Array.from({ length: count }, () => {
    made += 1
    const orderId = String(made).padStart(26, '0')
    return { orderId, userId: newUserId(), quantity: 1, requestId: 'r', reservedAtMs: Date.now() }
  })
}
async function reserve(saleId: number, list: ReturnType<typeof reservations>) {
  const limits = { ...RESERVE_LIMITS, relayAfterMs: 60_000 }
  const asked = list.map((one) => ({ ...one, tokenIssuedAtMs: 1 }))
  await createReserve(stores.redis, limits)(saleId, Date.now() + 60_000, asked)
}
async function placeAndSettle(saleId: number, list: ReturnType<typeof reservations>) {
  const { decidedAtMs, decisions } = await createPlaceReservations(stores.mysql)(saleId, list)
  await createSettle(stores.redis)(saleId, decidedAtMs, decisions)
}
const endInMysql = (saleId: number, orderId: string) =>
  stores.mysql.transaction(async ({ connection }) => {
    await connection.query('SELECT id FROM sales WHERE id = ? FOR UPDATE', [saleId])
    await connection.query(
      `UPDATE orders SET state = 'cancelled', live = NULL, return_due = 1, ended_at = UTC_TIMESTAMP(3) WHERE id = ?`,
      [orderId],
    )
    await connection.query('UPDATE sales SET units_sold = units_sold - 1 WHERE id = ?', [saleId])
  })

describe('reconcile', () => {
  it('repairs each kind of difference, order by order, and finds nothing the second time', async () => {
    const saleId = await addWarmSale(stores, { quota: 20 })
    const list = reservations(7)
    await reserve(saleId, list)
    type One = (typeof list)[0]
    const [ended, unheld, misled, lost, rejected, fine, queued] = list as [One, One, One, One, One, One, One]
    await placeAndSettle(saleId, [ended, unheld, misled, fine])
    const keys = stockKeys(saleId)
    await endInMysql(saleId, ended.orderId)
    await createRejectReservations(stores.mysql)(saleId, [rejected], 'undecidable')
    await stores.redis.hdel(keys.unsettled, rejected.orderId, lost.orderId)
    await stores.redis.zrem(keys.unsettledDue, rejected.orderId, lost.orderId)
    await stores.redis.hdel(keys.holds, unheld.orderId)
    await stores.redis.hincrby(keys.stock, 'unitsLeft', 1)
    await stores.redis.hset(keys.holders, misled.userId, 'Z'.repeat(26))

    const reconcile = createReconcileSale(stores)
    const found = { endedCount: 2, unheldCount: 2, unlistedCount: 1 }
    expect(await reconcile(saleId, { repair: false })).toMatchObject({
      ...found,
      unitsDrift: 0,
      isRepaired: false,
    })
    expect(await reconcile(saleId)).toMatchObject({ ...found, isRepaired: true })
    expect(await reconcile(saleId)).toMatchObject({
      holdCount: 5,
      liveOrderCount: 3,
      endedCount: 0,
      unheldCount: 0,
      unlistedCount: 0,
      unitsDrift: 0,
    })

    expect(await stores.redis.hgetall(keys.holds)).toEqual(
      Object.fromEntries([unheld, misled, lost, fine, queued].map((one) => [one.orderId, `${one.userId}:1`])),
    )
    expect(await stores.redis.hget(keys.holders, String(misled.userId))).toBe(misled.orderId)
    expect(await stores.redis.hget(keys.unsettled, lost.orderId)).toMatch(/:reconcile$/)
    expect(await stores.redis.zscore(keys.unsettledDue, lost.orderId)).not.toBeNull()
    expect(await unitsLeft(stores, saleId)).toBe(15)
  })

  it('repairs nothing that is only on its way, while buyers buy and orders are placed', async () => {
    const saleId = await addWarmSale(stores, { quota: 10_000 })
    const reconcile = createReconcileSale(stores)
    let isBuying = true
    const buying = (async () => {
      while (isBuying) {
        const list = reservations(20)
        await reserve(saleId, list)
        await placeAndSettle(saleId, list)
      }
    })()
    const drifts: unknown[] = []
    for (let run = 0; run < 30; run += 1) {
      const outcome = await reconcile(saleId)
      if (outcome.kind === 'reconciled') drifts.push([outcome.endedCount, outcome.unlistedCount])
    }
    isBuying = false
    await buying
    expect(new Set(drifts.map(String))).toEqual(new Set(['0,0']))
    expect(await reconcile(saleId)).toMatchObject({ unheldCount: 0, unitsDrift: 0 })
  })

  it('reports a breach of the rule of units', async () => {
    const saleId = await addWarmSale(stores, { quota: 5 })
    await reserve(saleId, reservations(2))
    await stores.redis.hincrby(stockKeys(saleId).stock, 'unitsLeft', 1)
    expect(await createReconcileSale(stores)(saleId)).toMatchObject({ unitsDrift: -1 })
  })

  it('puts nothing back on the ledger that was decided meanwhile', async () => {
    const saleId = await addWarmSale(stores, { quota: 5 })
    const [one] = reservations(1)

    const relist = bindScript(stores.redis, relistScript)
    expect(await relist(stockKeys(saleId), { requestId: 'r' }, [one!])).toBe(0)
    await reserve(saleId, [one!])
    expect(await relist(stockKeys(saleId), { requestId: 'again' }, [one!])).toBe(0)
    expect(await stores.redis.hget(stockKeys(saleId).unsettled, one!.orderId)).toMatch(/:r$/)
  })
})

describe('a Redis that was started anew', () => {
  it('is noticed by any warmer from the copy itself: every flag falls, and the copy is compared at once', async () => {
    const saleId = await addWarmSale(stores)
    const warmSale = createWarmSale(stores)
    await createReconcileSale(stores)(saleId)
    const sale = await stores.sales.find(saleId)
    const look = async () => (await createReadStocks(stores.redis)([saleId]))[0]
    const need = async (runId: string | undefined) => warmNeed(sale!, await look(), Date.now(), runId)
    const before = await look()
    expect(await need(before?.runId)).toBe('none')
    expect(await need('another')).toBe('note-restart')
    await stores.redis.hset(stockKeys(saleId).stock, 'intactSinceMs', 1)
    const heard: string[] = []
    const subscriber = connectRedisSubscriber({ url: stores.redisUrl })
    subscriber.on('message', (_channel: string, message: string) => heard.push(message))
    await subscriber.subscribe(channelOf(stores.redis, UNITS_ROSE))

    await Promise.all([warmSale.noteRestart(saleId, 'another'), warmSale.noteRestart(saleId, 'another')])

    await vi.waitFor(() => expect(heard).toEqual([`${saleId}:1:3`]))
    expect(Number(await stores.redis.hget(stockKeys(saleId).stock, 'intactSinceMs'))).toBeGreaterThan(1)
    expect(await need('another')).toBe('reconcile')
    await createReconcileSale(stores)(saleId)
    expect(await need('another')).toBe('none')
    subscriber.disconnect()
  })
})

describe('the keys of a finished sale', () => {
  it('stay while something is on its way, and go then, all of them', async () => {
    const saleId = await addWarmSale(stores)
    const [one] = reservations(1)
    await reserve(saleId, [one!])
    const remove = createRemoveStock(stores)
    const sale = (await stores.sales.find(saleId))!
    expect(await remove(sale)).toBe('unsettled')
    await placeAndSettle(saleId, [one!])
    await endInMysql(saleId, one!.orderId)
    expect(await remove(sale)).toBe('return_due')
    await stores.mysql.use(({ connection }) => connection.query('UPDATE orders SET return_due = NULL'))
    expect(await remove({ ...sale, stockEpoch: 0 })).toBe('fenced')
    expect(await listKeptSales(stores.redis)).toContain(saleId)

    expect(await remove(sale)).toBe('removed')

    const left = await stores.redis.keys(`${stores.namespace}:{sale:${saleId}}*`)
    expect(left.filter((key) => !key.includes(':order:'))).toEqual([])
    expect(await listKeptSales(stores.redis)).not.toContain(saleId)
  })
})
