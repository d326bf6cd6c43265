import { createExpireOrders } from '@blitzbuy/core/order/expire-orders'
import { createReturnDueStock } from '@blitzbuy/core/order/return-due-stock'
import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { migrateDatabase } from '@blitzbuy/core/mysql/migrate'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'
import { createOrderIds } from '@blitzbuy/core/reservation/order-id'
import { createSales } from '@blitzbuy/core/sale/sales'
import { createReturnStock } from '@blitzbuy/core/stock/return-stock'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import { join } from 'node:path'

import { startStores } from './stores/start-stores.ts'
import { makeTemporaryFolder } from './stores/temporary-folder.ts'

/**
 * Prints how long it takes until 100,000 unpaid orders have ended in MySQL and their units are back in Redis.
 *
 *     pnpm exec tsx --conditions=blitzbuy-source scripts/measure-expiry.ts
 *
 * On private stores of its own, which are gone afterwards.
 */
const COUNT = 100_000
const PAGE = 1_000

const folder = await makeTemporaryFolder()
const started = await startStores({ folder: join(folder.path, 'stores'), given: {} })
try {
  await measure(started.mysqlUrl, started.redisUrl)
} finally {
  await started.stop()
  await folder.remove()
}

async function measure(mysqlUrl: string, redisUrl: string): Promise<void> {
  await migrateDatabase(mysqlUrl)
  const mysql = connectMysql(mysqlUrl)
  const redis = connectRedis({ url: redisUrl, namespace: 'measure-expiry', commandTimeoutMs: 5_000 })
  await redisReady(redis, 5_000)
  const sales = createSales(mysql)
  const saleId = await addSale(sales)
  await placeUnpaid(saleId)
  await createWarmSale({ mysql, redis, sales }).build(saleId)

  const beganMs = performance.now()
  const ended = await createExpireOrders(mysql)()
  const endedMs = performance.now()
  const told = await createReturnDueStock(mysql, createReturnStock(redis), 0)()
  const toldMs = performance.now()
  const rate = (count: number, ms: number): string =>
    `${count} in ${(ms / 1000).toFixed(1)} s, ${Math.round(count / (ms / 1000))}/s`
  process.stdout.write(
    `expired ${rate(ended, endedMs - beganMs)}\nreturned ${rate(told, toldMs - endedMs)}\n` +
      `both ${rate(told, toldMs - beganMs)}\n` +
      `units left ${await redis.hget(`{sale:${saleId}}:stock`, 'unitsLeft')} of ${COUNT}\n`,
  )
  redis.disconnect()
  await mysql.close()

  async function placeUnpaid(sale: number): Promise<void> {
    const orderIds = createOrderIds(['m'.repeat(32)])
    const past = new Date(Date.now() - 60_000)
    for (let from = 1; from <= COUNT; from += PAGE) {
      const rows = Array.from({ length: PAGE }, (_, at) => {
        const userId = from + at
        const id = orderIds.mint(sale, userId, Date.now())
        return [id, sale, userId, 1, 100, 100, 'USD', 'awaiting_payment', 1, past, past, past]
      })
      await mysql.use(
        ({ connection }) =>
          connection.query(
            `INSERT INTO orders (id, sale_id, user_id, quantity, unit_price_cents, amount_cents, currency, state, live,
                                 pay_before, reserved_at, placed_at) VALUES ?`,
            [rows],
          ),
        10_000,
      )
    }
    await mysql.use(({ connection }) =>
      connection.query('UPDATE sales SET units_sold = ? WHERE id = ?', [COUNT, sale]),
    )
  }
}

async function addSale(sales: ReturnType<typeof createSales>): Promise<number> {
  const productId = await sales.addProduct({
    title: 'Kettle',
    description: 'Boils.',
    imagePath: '/assets/icon.svg',
  })
  return sales.add({
    productId,
    priceCents: 100,
    listPriceCents: 100,
    currency: 'USD',
    quota: COUNT,
    opensAt: new Date(Date.now() - 120_000),
    closesAt: new Date(Date.now() + 3_600_000),
    paymentWindowSeconds: 900,
  })
}
