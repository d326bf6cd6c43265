import { readdirSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'

import { readRunId } from '@blitzbuy/core/stock/warm-sale'
import type { RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'

import { addSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { startStores } from '../scripts/stores/start-stores.ts'
import type { Stores } from '../scripts/stores/store.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { audit, isAtRest } from './audit.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'
import { buy, makeShoppers, passGates, type Shopper } from './shoppers.ts'

/** A Redis of this file's own, because it is emptied, killed and robbed. */
let folder: TemporaryFolder
let breakable: Stores
beforeAll(async () => {
  folder = await makeTemporaryFolder()
  const given = { MYSQL_URL: inject('mysqlUrl'), AMQP_URL: inject('amqpUrl') }
  breakable = await startStores({ folder: folder.path, given })
}, 120_000)

// Registered first, so it runs last: everything else ends while its stores still stand.
afterAll(() => folder.remove(), 60_000)

const stores = useOwnStores(() => breakable)
const processes = useProcesses(stores)
let api: RunningProcess
let warmer: RunningProcess

beforeAll(async () => {
  ;[api, warmer] = await Promise.all([
    processes.startReady('api'),
    processes.startReady('stock-warmer'),
    processes.startReady('order-worker'),
  ])
}, 120_000)

const stockOf = (saleId: number) => stores.redis.hgetall(`{sale:${saleId}}:stock`)

async function untilOpen(saleId: number, timeout = 20_000): Promise<void> {
  await expect.poll(async () => (await stockOf(saleId)).state, { timeout, interval: 100 }).toBe('open')
}

/** I3 holds at rest, after one comparison since Redis last started. */
async function expectRight(saleId: number): Promise<void> {
  await expect
    .poll(async () => ((await isAtRest(stores, saleId)) ? audit(stores, saleId) : ['not at rest']), {
      timeout: 60_000,
      interval: 250,
    })
    .toEqual([])
}

async function statesOf(orderIds: readonly (string | undefined)[]): Promise<string[]> {
  const [rows] = await stores.mysql.use(({ connection }) =>
    connection.query<(RowDataPacket & { state: string })[]>('SELECT state FROM orders WHERE id IN (?)', [
      orderIds,
    ]),
  )
  return rows.map((row) => row.state)
}

let groups = 0
/** Sessions live in Redis: after a loss people log in again. */
async function admit(count: number, saleId: number): Promise<Shopper[]> {
  groups += 1
  const shoppers = await makeShoppers(stores, count, () => api.origin, groups * 1_000)
  await passGates(stores, shoppers, saleId, () => api.origin)
  return shoppers
}

describe('a Redis that is emptied while people buy', () => {
  it('is filled again from MySQL and the queue: nothing is sold twice, and nobody who was told yes is forgotten', async () => {
    const saleId = await addSale(stores, { quota: 30 })
    await untilOpen(saleId)
    const shoppers = await admit(60, saleId)

    const told: Awaited<ReturnType<typeof buy>>[] = []
    for (let from = 0; from < 60; from += 10) {
      const wave = shoppers.slice(from, from + 10).map((shopper) => buy(shopper, api.origin, saleId))
      if (from === 20) await stores.redis.flushall()
      told.push(...(await Promise.all(wave)))
    }

    const orderIds = told.filter(({ status }) => status === 202).map(({ orderId }) => orderId)
    expect(orderIds.length).toBeGreaterThanOrEqual(20)
    await untilOpen(saleId, 60_000)
    await expectRight(saleId)
    await expect.poll(() => statesOf(orderIds), { timeout: 30_000 }).toHaveLength(orderIds.length)
    // What is left is sold, and not one unit more.
    const sale = await stores.sales.find(saleId)
    const late = await admit(40, saleId)
    const lateTold = await Promise.all(late.map((shopper) => buy(shopper, api.origin, saleId)))
    expect(lateTold.filter(({ status }) => status === 202)).toHaveLength(30 - (sale?.unitsSold ?? 0))
    await expectRight(saleId)
  }, 180_000)
})

describe('a Redis that was killed and has lost its last second', () => {
  it('agrees with MySQL again, order by order: what was bought is held, what was given back is free', async () => {
    const saleId = await addSale(stores, { quota: 30 })
    await untilOpen(saleId)
    const shoppers = await admit(25, saleId)
    const first = await Promise.all(shoppers.slice(0, 10).map((shopper) => buy(shopper, api.origin, saleId)))
    expect(first.map(({ status }) => status)).toEqual(first.map(() => 202))
    await expectRight(saleId)
    const runId = await readRunId(stores.redis)
    const aof = appendOnlyFile(folder.path)
    const kept = statSync(aof).size

    // All of this is in MySQL, and will be gone from Redis.
    await Promise.all(shoppers.slice(10).map((shopper) => buy(shopper, api.origin, saleId)))
    const cancelled = shoppers.slice(0, 5)
    for (const [at, shopper] of cancelled.entries()) {
      const answer = await fetch(`${api.origin}/api/v1/orders/${first[at]?.orderId}/cancellation`, {
        method: 'POST',
        headers: { cookie: shopper.cookie, 'x-forwarded-for': shopper.address },
      })
      expect(answer.status).toBe(200)
    }
    await expectRight(saleId)
    expect((await stores.sales.find(saleId))?.unitsSold).toBe(20)
    await breakable.redis.kill('SIGKILL')
    truncateSync(aof, kept)
    await breakable.redis.start()

    await expect.poll(() => stores.redis.status, { timeout: 20_000 }).toBe('ready')
    expect(await readRunId(stores.redis)).not.toBe(runId)
    await expectRight(saleId)
    expect(await stockOf(saleId)).toMatchObject({ unitsLeft: '10', state: 'open' })
    expect(warmer.output()).toContain('Redis was started anew')
  }, 180_000)
})

describe('a stock-warmer that is killed while it builds', () => {
  const LIVE = 60_000

  it('is succeeded by another one, which builds the copy anew; it sells nothing until then', async () => {
    const saleId = await addSale(stores, { quota: LIVE + 10, opensAt: new Date(Date.now() + 3_600_000) })
    await insertLiveOrders(saleId, LIVE)
    // The warmers look at it from now on.
    await stores.mysql.use(({ connection }) =>
      connection.query('UPDATE sales SET opens_at = UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE WHERE id = ?', [
        saleId,
      ]),
    )
    await expect
      .poll(async () => (await stockOf(saleId)).state, { timeout: 20_000, interval: 5 })
      .toBe('warming')
    await warmer.kill('SIGKILL')
    const left = await stockOf(saleId)
    expect(left).toMatchObject({ state: 'warming', epoch: '1' })
    const [shopper] = await admit(1, saleId)
    expect(await buy(shopper as Shopper, api.origin, saleId)).toMatchObject({
      status: 503,
      code: 'sale-warming',
    })

    // Thirty seconds later.
    await stores.redis.hset(`{sale:${saleId}}:stock`, 'warmingSinceMs', Number(left.warmingSinceMs) - 31_000)
    await Promise.all([warmer.restart(), processes.startReady('stock-warmer')])

    await untilOpen(saleId, 60_000)
    await expectRight(saleId)
    expect(await stockOf(saleId)).toMatchObject({ unitsLeft: '10' })
    expect(await buy(shopper as Shopper, api.origin, saleId)).toMatchObject({ status: 202 })
  }, 180_000)

  async function insertLiveOrders(saleId: number, count: number): Promise<void> {
    const now = new Date()
    for (let from = 1; from <= count; from += 5_000) {
      const rows = Array.from({ length: Math.min(5_000, count - from + 1) }, (_, at) => {
        const userId = 1_000_000_000 + from + at
        const orderId = `W${String(saleId).padStart(10, '0')}${String(from + at).padStart(15, '0')}`
        return [orderId, saleId, userId, 1, 4_900, 4_900, 'USD', 'paid', 1, now, now]
      })
      await stores.mysql.use(
        ({ connection }) =>
          connection.query(
            `INSERT INTO orders (id, sale_id, user_id, quantity, unit_price_cents, amount_cents, currency, state,
                                 live, reserved_at, placed_at) VALUES ?`,
            [rows],
          ),
        30_000,
      )
    }
    await stores.mysql.use(({ connection }) =>
      connection.query('UPDATE sales SET units_sold = ? WHERE id = ?', [count, saleId]),
    )
  }
})

/** Where Redis writes now: the newest part of its log. */
function appendOnlyFile(storesFolder: string): string {
  const logFolder = join(storesFolder, 'redis', 'appendonlydir')
  const parts = readdirSync(logFolder).filter((name) => name.endsWith('.incr.aof'))
  return join(logFolder, parts.toSorted().at(-1) as string)
}
