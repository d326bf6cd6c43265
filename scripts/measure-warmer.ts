import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { migrateDatabase } from '@blitzbuy/core/mysql/migrate'
import { createReconcileSale } from '@blitzbuy/core/order/reconcile-sale'
import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createPublishReservations } from '@blitzbuy/core/rabbitmq/publish'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'
import { createRelayUnsettled } from '@blitzbuy/core/reservation/relay'
import { createSales } from '@blitzbuy/core/sale/sales'
import { createRemoveStock } from '@blitzbuy/core/stock/kept-sales'
import { createReserve, RESERVE_LIMITS } from '@blitzbuy/core/stock/reserve'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import { createLog } from '@blitzbuy/core/log'

import { startStores } from './stores/start-stores.ts'
import { makeTemporaryFolder } from './stores/temporary-folder.ts'

/**
 * Prints how long the stock-warmer takes for a sale with many holders, on private stores:
 *
 *     node --import tsx --conditions=blitzbuy-source scripts/measure-warmer.ts [holders] [unsettled]
 */
const holders = Number(process.argv[2] ?? 1_000_000)
const unsettled = Number(process.argv[3] ?? 100_000)
const SLOW_US = 10_000

const say = (line: string): void => void process.stdout.write(`${line}\n`)
const folder = await makeTemporaryFolder()
const started = await startStores({ folder: join(folder.path, 'stores') })
const namespace = `measure-${randomBytes(4).toString('hex')}`
const log = createLog({ name: 'measure', level: 'fatal' })
await migrateDatabase(started.mysqlUrl)
const mysql = connectMysql(started.mysqlUrl)
const redis = connectRedis({ url: started.redisUrl, namespace, commandTimeoutMs: 5_000 })
await redisReady(redis, 10_000)
const broker = connectBroker({ url: started.amqpUrl, namespace, role: 'publisher', log })
await broker.connected

async function measure(name: string, work: () => Promise<unknown>): Promise<void> {
  await redis.config('SET', 'slowlog-log-slower-than', SLOW_US)
  await redis.slowlog('RESET')
  const beganMs = performance.now()
  const outcome = await work()
  const tookS = (performance.now() - beganMs) / 1_000
  const slow = (await redis.slowlog('GET', 100)) as [number, number, number, string[]][]
  const slowest = slow.map(([, , micros, command]) => `${(micros / 1_000).toFixed(1)} ms ${command[0]}`)
  say(`${name}: ${tookS.toFixed(1)} s, commands over 10 ms: ${slow.length} ${slowest.join(', ')}`)
  if (outcome !== undefined) say(`  ${JSON.stringify(outcome)}`)
}

const sales = createSales(mysql)
const productId = await sales.addProduct({ title: 'Kettle', description: 'Boils.', imagePath: '/k.svg' })
const newSale = {
  productId,
  priceCents: 100,
  listPriceCents: 200,
  currency: 'USD',
  quota: holders + 200_000,
  opensAt: new Date(Date.now() - 60_000),
  closesAt: new Date(Date.now() + 3_600_000),
  paymentWindowSeconds: 3_600,
}
const saleId = await sales.add(newSale)
const orderIdOf = (prefix: string, at: number): string => `${prefix}${String(at).padStart(25, '0')}`
const ROWS = 5_000
for (let from = 0; from < holders; from += ROWS) {
  const now = new Date()
  const rows = Array.from({ length: Math.min(ROWS, holders - from) }, (_, i) => [
    orderIdOf('A', from + i),
    saleId,
    from + i + 1,
    1,
    100,
    100,
    'USD',
    'paid',
    1,
    now,
    now,
  ])
  await mysql.use(
    ({ connection }) =>
      connection.query(
        `INSERT INTO orders (id, sale_id, user_id, quantity, unit_price_cents, amount_cents, currency, state, live,
                             reserved_at, placed_at) VALUES ?`,
        [rows],
      ),
    30_000,
  )
}
await mysql.use(({ connection }) =>
  connection.query('UPDATE sales SET units_sold = ? WHERE id = ?', [holders, saleId]),
)
say(`${holders} live orders in MySQL`)

await measure('build', () => createWarmSale({ mysql, redis, sales }).build(saleId))

let userId = holders
async function reserveSome(
  which: number,
  count: number,
  prefix: string,
  relayAfterMs: number,
): Promise<void> {
  const list = Array.from({ length: count }, () => {
    userId += 1
    return { orderId: orderIdOf(prefix, userId), userId, quantity: 1, requestId: 'm', tokenIssuedAtMs: 1 }
  })
  await createReserve(redis, { ...RESERVE_LIMITS, relayAfterMs })(which, Date.now() + 60_000, list)
}

await measure('reconcile, while purchases go on', async () => {
  let isRunning = true
  let slowestMs = 0
  let batches = 0
  const buying = (async () => {
    while (isRunning) {
      const beganMs = performance.now()
      await reserveSome(saleId, 20, 'B', 3_600_000)
      slowestMs = Math.max(slowestMs, performance.now() - beganMs)
      batches += 1
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  const outcome = await createReconcileSale({ mysql, redis })(saleId)
  isRunning = false
  await buying
  return { ...outcome, reserved: batches * 20, slowestReserveMs: Math.round(slowestMs) }
})

const other = await sales.add({ ...newSale, quota: unsettled })
await createWarmSale({ mysql, redis, sales }).build(other)
for (let from = 0; from < unsettled; from += 250) await reserveSome(other, 250, 'C', 0)
const relay = (relayAfterMs: number) =>
  createRelayUnsettled({
    redis,
    publish: createPublishReservations(broker),
    isQueueTaken: async () => true,
    reject: async () => undefined,
    relayAfterMs,
  })
// No queue, no hand-off: a consumer's topology is the publisher's.
await measure(`relay of ${unsettled}, together`, () => relay(20_000)(other))

const keys = stockKeys(other)
const stillUnsettled = await redis.hlen(keys.unsettled)
await redis.del(keys.unsettledDue)
{
  let cursor = '0'
  do {
    const [next, entries] = await redis.hscan(keys.unsettled, cursor, 'COUNT', 500)
    const pairs: string[] = []
    const due: string[] = []
    for (let i = 0; i < entries.length; i += 2) {
      pairs.push(entries[i] as string, (entries[i + 1] as string).replace(/:\d+:m$/, ':2:m'))
      due.push('0', entries[i] as string)
    }
    if (pairs.length > 0) {
      await redis.hset(keys.unsettled, ...pairs)
      await redis.zadd(keys.unsettledDue, ...due)
    }
    cursor = next
  } while (cursor !== '0')
}
await measure(`relay of ${stillUnsettled}, each alone`, () => relay(120_000)(other))

await redis.unlink(stockKeys(saleId).unsettled)
const sale = await sales.find(saleId)
await measure('removal of the keys', () =>
  createRemoveStock({ mysql, redis })(sale ?? { saleId, stockEpoch: 1 }),
)

await (await broker.connected).nuke()
await broker.close()
redis.disconnect()
await mysql.close()
await started.stop()
await folder.remove()
