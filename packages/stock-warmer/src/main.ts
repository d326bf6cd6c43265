import { healthAddress, loadConfig } from '@blitzbuy/core/config'
import { armCrashPoints } from '@blitzbuy/core/crash-point'
import { startHealthServer } from '@blitzbuy/core/health'
import { createLog } from '@blitzbuy/core/log'
import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { createReconcileSale } from '@blitzbuy/core/order/reconcile-sale'
import { createRejectReservations } from '@blitzbuy/core/order/reject-reservations'
import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createPublishReservations } from '@blitzbuy/core/rabbitmq/publish'
import { createLookAtQueue, isTaken } from '@blitzbuy/core/rabbitmq/queue-look'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'
import { createRedisClock } from '@blitzbuy/core/redis/redis-clock'
import { repeat } from '@blitzbuy/core/repeat'
import { createRelayUnsettled } from '@blitzbuy/core/reservation/relay'
import { runProcess } from '@blitzbuy/core/run-process'
import { storeChecks } from '@blitzbuy/core/store-checks'
import { createSales } from '@blitzbuy/core/sale/sales'
import { createRemoveStock, listKeptSales } from '@blitzbuy/core/stock/kept-sales'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import { Redlock } from 'redlock'

import { WarmerConfig } from './config.ts'
import { createRelayAll } from './relay-unsettled.ts'
import { createRemoveFinished } from './remove-finished.ts'
import { createWarmSales } from './warm-sales.ts'

const WARM_EVERY_MS = 1_000
const RELAY_EVERY_MS = 1_000
const REMOVE_EVERY_MS = 60_000
const FIRST_CONNECTION_MS = 2_000

await runProcess('stock-warmer', async () => {
  const config = loadConfig(WarmerConfig)
  armCrashPoints(config)
  const log = createLog({ name: 'stock-warmer', level: config.LOG_LEVEL })
  const mysql = connectMysql(config.MYSQL_URL, { connectionLimit: 3 })
  const redis = connectRedis({ url: config.REDIS_URL, namespace: config.NAMESPACE })
  const broker = connectBroker({ url: config.AMQP_URL, namespace: config.NAMESPACE, role: 'publisher', log })

  const sales = createSales(mysql)
  const lookAtQueue = createLookAtQueue(broker, { url: config.AMQP_URL, namespace: config.NAMESPACE })
  const rejectReservations = createRejectReservations(mysql)
  const settle = createSettle(redis)
  const warmAheadMs = config.WARM_AHEAD_SECONDS * 1000
  const health = await startHealthServer({
    ...healthAddress(config),
    checks: storeChecks({ mysql, redis, broker }),
  })
  // A timer that runs before the first connection would only report an outage that is none.
  await redisReady(redis, FIRST_CONNECTION_MS).catch(() => undefined)
  const warmSales = createWarmSales({
    sales,
    redis,
    warmSale: createWarmSale({ mysql, redis, sales }),
    reconcileSale: createReconcileSale({ mysql, redis }),
    lookAtQueue,
    redlock: new Redlock([redis], { retryCount: 0 }),
    clock: createRedisClock(redis),
    warmAheadMs,
    log,
  })
  const timers = [
    repeat('warm sales', WARM_EVERY_MS, () => warmSales.look(), log),
    repeat(
      'relay unsettled',
      RELAY_EVERY_MS,
      createRelayAll({
        listKeptSales: () => listKeptSales(redis),
        relay: createRelayUnsettled({
          redis,
          publish: createPublishReservations(broker),
          isQueueTaken: async () => isTaken(await lookAtQueue()),
          reject: async (saleId, reservations) => {
            const { decidedAtMs, decisions } = await rejectReservations(saleId, reservations, 'undecidable')
            // Told again with the next turn, when these words came too late.
            await settle(saleId, decidedAtMs, decisions)
          },
        }),
        log,
      }),
      log,
    ),
    repeat(
      'remove finished',
      REMOVE_EVERY_MS,
      createRemoveFinished({
        sales,
        listKeptSales: () => listKeptSales(redis),
        removeStock: createRemoveStock({ mysql, redis }),
        log,
      }),
      log,
    ),
  ]

  return {
    log,
    health,
    async close() {
      health.drain()
      await Promise.all(timers.map((timer) => timer.close()))
      await warmSales.close()
      await broker.close()
      redis.disconnect()
      await mysql.close()
      await health.close()
    },
  }
})
