import { randomBytes, randomInt } from 'node:crypto'

import { connectMysql, type Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import { migrateDatabase } from '@blitzbuy/core/mysql/migrate'
import { connectRedis, redisReady, type Redis } from '@blitzbuy/core/redis/connect-redis'
import { createSales, type NewSale, type Sales } from '@blitzbuy/core/sale/sales'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import { createConnection } from 'mysql2/promise'
import { afterAll, beforeAll, inject } from 'vitest'

/** A database and a namespace of their own, so that test files share the stores without meeting each other. */
export interface OwnStores {
  mysqlUrl: string
  redisUrl: string
  amqpUrl: string
  namespace: string
  mysql: Mysql
  redis: Redis
  sales: Sales
}

const SETUP_MS = 60_000

/**
 * Call it at the top of a test file; the fields are there from `beforeAll` on.
 *
 * @param others stores that the test file started for itself in an earlier `beforeAll`, to break them
 */
export function useOwnStores(others: () => { redisUrl?: string; amqpUrl?: string } = () => ({})): OwnStores {
  const name = randomBytes(6).toString('hex')
  const stores = { namespace: `t-${name}`, redisUrl: '', amqpUrl: '' } as OwnStores

  beforeAll(async () => {
    stores.redisUrl = others().redisUrl ?? inject('redisUrl')
    stores.amqpUrl = others().amqpUrl ?? inject('amqpUrl')
    stores.mysqlUrl = await createDatabase(inject('mysqlUrl'), `blitzbuy_${name}`)
    stores.mysql = connectMysql(stores.mysqlUrl)
    stores.redis = connectRedis({
      url: stores.redisUrl,
      namespace: stores.namespace,
      commandTimeoutMs: 5_000,
    })
    stores.sales = createSales(stores.mysql)
    await redisReady(stores.redis, 5_000)
  }, SETUP_MS)

  afterAll(async () => {
    await removeKeys(stores.redis, stores.namespace)
    stores.redis.disconnect()
    await stores.mysql.use(({ connection }) => connection.query(`DROP DATABASE blitzbuy_${name}`), 20_000)
    await stores.mysql.close()
  }, SETUP_MS)

  return stores
}

async function createDatabase(serverUrl: string, database: string): Promise<string> {
  const connection = await createConnection({ uri: serverUrl })
  await connection.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci`)
  await connection.end()
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  await migrateDatabase(url.href)
  return url.href
}

async function removeKeys(redis: Redis, namespace: string): Promise<void> {
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', `${namespace}:*`, 'COUNT', 1_000)
    const ownKeys = keys.map((key) => key.slice(namespace.length + 1))
    if (ownKeys.length > 0) await redis.unlink(...ownKeys)
    cursor = next
  } while (cursor !== '0')
}

/** A sale that is open now, unless the test says otherwise. */
export async function addSale(stores: OwnStores, changes: Partial<NewSale> = {}): Promise<number> {
  const productId = await stores.sales.addProduct({
    title: 'Kettle',
    description: 'Boils.',
    imagePath: '/assets/products/pour-over-kettle.svg',
  })
  return stores.sales.add({
    productId,
    priceCents: 4_900,
    listPriceCents: 8_900,
    currency: 'USD',
    quota: 10,
    opensAt: new Date(Date.now() - 60_000),
    closesAt: new Date(Date.now() + 3_600_000),
    paymentWindowSeconds: 900,
    ...changes,
  })
}

/** The same, and its stock is in Redis. */
export async function addWarmSale(stores: OwnStores, changes: Partial<NewSale> = {}): Promise<number> {
  const saleId = await addSale(stores, changes)
  await createWarmSale(stores).build(saleId)
  return saleId
}

export async function unitsLeft(stores: OwnStores, saleId: number): Promise<number | undefined> {
  const [stock] = await createReadStocks(stores.redis)([saleId])
  return stock?.unitsLeft
}

/** Unique over all test files, so that no test depends on which users another one has made. */
export function newUserId(): number {
  return randomInt(1, 2 ** 31)
}
