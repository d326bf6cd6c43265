import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'

import { addSale, unitsLeft, useOwnStores } from '../packages/core/test/own-stores.ts'
import { startStores } from '../scripts/stores/start-stores.ts'
import type { Stores } from '../scripts/stores/store.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { audit, isAtRest } from './audit.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'
import { buy, makeShoppers, passGates, type Shopper } from './shoppers.ts'

/** A Redis and a RabbitMQ of this file's own, because it stops and kills them. */
let folder: TemporaryFolder
let breakable: Stores
beforeAll(async () => {
  folder = await makeTemporaryFolder()
  breakable = await startStores({ folder: folder.path, given: { MYSQL_URL: inject('mysqlUrl') } })
}, 120_000)

// Registered first, so it runs last: everything else ends while its stores still stand.
afterAll(() => folder.remove(), 60_000)

const stores = useOwnStores(() => breakable)
const processes = useProcesses(stores)
let api: RunningProcess
let shoppers: Shopper[]

beforeAll(async () => {
  ;[api] = await Promise.all([
    processes.startReady('api'),
    processes.startReady('order-worker'),
    processes.startReady('stock-warmer'),
  ])
  shoppers = await makeShoppers(stores, 60, () => api.origin)
}, 120_000)

async function addWarmedSale(quota: number): Promise<number> {
  const saleId = await addSale(stores, { quota })
  await expect.poll(() => unitsLeft(stores, saleId), { timeout: 10_000 }).toBe(quota)
  await expect.poll(() => stores.redis.hget(`{sale:${saleId}}:stock`, 'state')).toBe('open')
  return saleId
}

async function expectAtRestAndRight(saleId: number): Promise<void> {
  await expect.poll(() => isAtRest(stores, saleId), { timeout: 60_000, interval: 200 }).toBe(true)
  expect(await audit(stores, saleId)).toEqual([])
}

describe('a Redis that stands still', () => {
  it('makes refusals within two seconds, and takes no units for those refused when it goes on', async () => {
    const saleId = await addWarmedSale(50)
    await passGates(stores, shoppers.slice(0, 20), saleId, () => api.origin)
    await breakable.redis.kill('SIGSTOP')
    const told = await Promise.all(shoppers.slice(0, 20).map((shopper) => buy(shopper, api.origin, saleId)))
    await breakable.redis.kill('SIGCONT')

    for (const { status, tookMs } of told) {
      expect(status).toBe(503)
      expect(tookMs).toBeLessThan(2_000)
    }
    // Everybody asks again and gets one unit, whatever had become of the first try.
    for (const shopper of shoppers.slice(0, 20)) {
      await expect
        .poll(async () => (await buy(shopper, api.origin, saleId, true)).orderId, { timeout: 10_000 })
        .toBeDefined()
    }
    await expectAtRestAndRight(saleId)
    expect(await unitsLeft(stores, saleId)).toBe(30)
  })
})

describe('a RabbitMQ that is killed and comes back', () => {
  it('stops no purchase; afterwards all are placed, and new ones are confirmed again within seconds', async () => {
    const saleId = await addWarmedSale(60)
    await passGates(stores, shoppers, saleId, () => api.origin)
    await breakable.rabbitmq.kill('SIGKILL')
    const during = await Promise.all(shoppers.slice(0, 30).map((shopper) => buy(shopper, api.origin, saleId)))
    expect(during.map((answer) => answer.status)).toEqual(during.map(() => 202))
    await breakable.rabbitmq.start()

    await expectAtRestAndRight(saleId)
    const [first, ...late] = shoppers.slice(30) as [Shopper, ...Shopper[]]
    // One after the other until the broker has confirmed one: an api that never came back would use them all up.
    const after = [await buy(first, api.origin, saleId)]
    await expect
      .poll(
        async () => {
          const next = after.at(-1)?.handoff === 'confirmed' ? undefined : late.shift()
          if (next) after.push(await buy(next, api.origin, saleId))
          return after.at(-1)?.handoff
        },
        { timeout: 20_000, interval: 500 },
      )
      .toBe('confirmed')
    after.push(...(await Promise.all(late.map((shopper) => buy(shopper, api.origin, saleId)))))
    expect(after.map((answer) => answer.status)).toEqual(after.map(() => 202))
    expect(after.at(-1)?.handoff).toBe('confirmed')
    await expectAtRestAndRight(saleId)
    expect(await unitsLeft(stores, saleId)).toBe(0)
  })
})
