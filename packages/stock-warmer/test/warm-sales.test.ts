import { createLog } from '@blitzbuy/core/log'
import { createReconcileSale } from '@blitzbuy/core/order/reconcile-sale'
import { createRedisClock } from '@blitzbuy/core/redis/redis-clock'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import { Redlock } from 'redlock'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { addSale, addWarmSale, useOwnStores } from '../../core/test/own-stores.ts'
import { createWarmSales, type WarmSales } from '../src/warm-sales.ts'

const MORE_THAN_AT_ONCE = 12
const WITHIN = { timeout: 20_000 }

const stores = useOwnStores()
let warmSales: WarmSales | undefined
afterEach(() => warmSales?.close())

/** A warmer, and what it has begun in that order. */
function newWarmSales(): { warmSales: WarmSales; begun: string[] } {
  const begun: string[] = []
  const warmSale = createWarmSale(stores)
  const reconcileSale = createReconcileSale(stores)
  warmSales = createWarmSales({
    ...stores,
    warmSale: {
      ...warmSale,
      build: (saleId) => {
        begun.push(`build ${saleId}`)
        return warmSale.build(saleId)
      },
    },
    reconcileSale: (saleId) => {
      begun.push(`reconcile ${saleId}`)
      return reconcileSale(saleId)
    },
    lookAtQueue: async () => undefined,
    redlock: new Redlock([stores.redis], { retryCount: 0 }),
    clock: createRedisClock(stores.redis),
    warmAheadMs: 60_000,
    log: createLog({ name: 'stock-warmer', level: 'fatal' }),
  })
  return { warmSales, begun }
}

describe('the stock-warmer', () => {
  it('warms all sales that one look has found, however many there are', async () => {
    const saleIds: number[] = []
    while (saleIds.length < MORE_THAN_AT_ONCE) saleIds.push(await addSale(stores))
    const { warmSales, begun } = newWarmSales()

    await warmSales.look()

    const readStocks = createReadStocks(stores.redis)
    await vi.waitFor(async () => {
      const states = (await readStocks(saleIds)).map((stock) => stock?.state)
      expect(states).toEqual(saleIds.map(() => 'open'))
    }, WITHIN)
    expect(begun.toSorted()).toEqual(saleIds.map((saleId) => `build ${saleId}`).toSorted())
  })

  it('builds what is missing before it compares what is there', async () => {
    const stale: number[] = []
    while (stale.length < MORE_THAN_AT_ONCE) {
      const saleId = await addWarmSale(stores)
      await stores.redis.hset(stockKeys(saleId).stock, { reconciledAtMs: 0 })
      stale.push(saleId)
    }
    const later = await addSale(stores, { opensAt: new Date(Date.now() + 30_000) })
    const open = await addSale(stores)
    const { warmSales, begun } = newWarmSales()

    await warmSales.look()

    await vi.waitFor(
      () => expect(begun).toEqual(expect.arrayContaining(stale.map((saleId) => `reconcile ${saleId}`))),
      WITHIN,
    )
    // Four begin at once, and each asks its lock first: among the first, not the very first.
    for (const build of [`build ${later}`, `build ${open}`]) {
      expect(begun).toContain(build)
      expect(begun.indexOf(build)).toBeLessThan(stale.length / 2)
    }
  })
})
