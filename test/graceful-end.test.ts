import { Agent, request } from 'node:http'

import { describe, expect, it } from 'vitest'

import { addSale, unitsLeft, useOwnStores } from '../packages/core/test/own-stores.ts'
import { audit, isAtRest } from './audit.ts'
import { useProcesses } from './running-blitzbuy.ts'
import { buy, makeShoppers, passGates, readOrder, type Shopper } from './shoppers.ts'

const TEN_SECONDS_MS = 10_000
const stores = useOwnStores()
const processes = useProcesses(stores)

async function endsWithin(kill: () => Promise<void>): Promise<number> {
  const beganMs = performance.now()
  await kill()
  return performance.now() - beganMs
}

/** A browser's connection that stays open between requests. */
async function keepOpen(origin: string): Promise<Agent> {
  const agent = new Agent({ keepAlive: true })
  await new Promise<void>((resolve, reject) => {
    request(`${origin}/api/v1/time`, { agent }, (answer) => answer.resume().once('end', resolve))
      .once('error', reject)
      .end()
  })
  return agent
}

describe('SIGTERM in the middle of a sale', () => {
  it('ends every process in less than ten seconds, connections open, and loses nothing that was accepted', async () => {
    const saleId = await addSale(stores, { quota: 100 })
    const [api, otherApi, worker, warmer] = await Promise.all([
      processes.startReady('api'),
      processes.startReady('api'),
      processes.startReady('order-worker'),
      processes.startReady('stock-warmer'),
    ])
    await expect.poll(() => unitsLeft(stores, saleId), { timeout: 10_000 }).toBe(100)
    const shoppers = await makeShoppers(stores, 60, () => api.origin)
    const agents = await Promise.all(Array.from({ length: 20 }, () => keepOpen(api.origin)))

    await passGates(stores, shoppers, saleId, () => api.origin)
    const buying = shoppers.map((shopper) => buy(shopper, api.origin, saleId))
    await expect.poll(() => unitsLeft(stores, saleId), { interval: 1, timeout: 10_000 }).toBeLessThan(100)
    const tookMs = await Promise.all(
      [api, worker, warmer].map((one) => endsWithin(() => one.kill('SIGTERM'))),
    )
    const told = await Promise.all(buying)

    expect(Math.max(...tookMs)).toBeLessThan(TEN_SECONDS_MS)
    await Promise.all([worker.restart(), warmer.restart()])
    await expect.poll(() => isAtRest(stores, saleId), { timeout: 30_000 }).toBe(true)
    expect(await audit(stores, saleId)).toEqual([])
    for (const [i, { status, orderId }] of told.entries()) {
      if (status !== 202 || !orderId) continue
      const order = await readOrder(shoppers[i] as Shopper, otherApi.origin, orderId)
      expect(order).toMatchObject({ state: 'awaiting_payment' })
    }
    for (const agent of agents) agent.destroy()
  })
})
