import { brokerOf, healthAddress, loadConfig } from '@blitzbuy/core/config'
import { armCrashPoints } from '@blitzbuy/core/crash-point'
import { startHealthServer } from '@blitzbuy/core/health'
import { createLog } from '@blitzbuy/core/log'
import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { meterPublish } from '@blitzbuy/core/metrics/publish-metrics'
import { addStoreMetrics } from '@blitzbuy/core/metrics/store-metrics'
import { createReconcileSale } from '@blitzbuy/core/order/reconcile-sale'
import { createRejectReservations } from '@blitzbuy/core/order/reject-reservations'
import { createReadSaleFigures } from '@blitzbuy/core/order/sale-figures'
import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createPublishReservations } from '@blitzbuy/core/rabbitmq/publish'
import { createLookAtQueue, isTaken } from '@blitzbuy/core/rabbitmq/queue-look'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'
import { readRedisFigures } from '@blitzbuy/core/redis/redis-figures'
import { createRedisClock } from '@blitzbuy/core/redis/redis-clock'
import { repeat } from '@blitzbuy/core/repeat'
import { createRelayUnsettled } from '@blitzbuy/core/reservation/relay'
import { runProcess } from '@blitzbuy/core/run-process'
import { storeChecks } from '@blitzbuy/core/store-checks'
import { createSales } from '@blitzbuy/core/sale/sales'
import { createRemoveStock, listKeptSales } from '@blitzbuy/core/stock/kept-sales'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import { loadTracing } from '@blitzbuy/core/tracing/tracing'
import { Redlock } from 'redlock'

import { WarmerConfig } from './config.ts'
import { createRelayAll } from './relay-unsettled.ts'
import { createRemoveFinished } from './remove-finished.ts'
import { traceRelay } from './trace-relay.ts'
import { createWarmSales } from './warm-sales.ts'
import { createWarmerMetrics } from './warmer-metrics.ts'
import { createWatchSales } from './watch-sales.ts'

const WARM_EVERY_MS = 1_000
const RELAY_EVERY_MS = 1_000
const REMOVE_EVERY_MS = 60_000
const WATCH_EVERY_MS = 5_000
const FIRST_CONNECTION_MS = 2_000

await runProcess('stock-warmer', async () => {
  const config = loadConfig(WarmerConfig)
  armCrashPoints(config)
  const log = createLog({ name: 'stock-warmer', level: config.LOG_LEVEL })
  const mysql = connectMysql(config.MYSQL_URL, { connectionLimit: 3 })
  const redis = connectRedis({ url: config.REDIS_URL, namespace: config.NAMESPACE })
  const broker = connectBroker({ ...brokerOf(config), role: 'publisher', log })
  const tracing = await loadTracing(config, 'stock-warmer', log)

  const sales = createSales(mysql)
  const metrics = createWarmerMetrics(config.COMMIT)
  addStoreMetrics(metrics.registry, { mysql, redis, broker })
  const named = { url: config.AMQP_URL, namespace: config.NAMESPACE }
  const lookAtQueue = createLookAtQueue(named)
  const rejectReservations = createRejectReservations(mysql)
  const settle = createSettle(redis)
  const warmAheadMs = config.WARM_AHEAD_SECONDS * 1000
  const health = await startHealthServer({
    ...healthAddress(config),
    checks: storeChecks({ mysql, redis, broker }),
    registry: metrics.registry,
  })
  // A timer that runs before the first connection would only report an outage that is none.
  await redisReady(redis, FIRST_CONNECTION_MS).catch(() => undefined)
  const warmSales = createWarmSales({
    sales,
    redis,
    warmSale: createWarmSale({ mysql, redis, sales }),
    reconcileSale: metrics.countReconciles(createReconcileSale({ mysql, redis })),
    lookAtQueue,
    redlock: new Redlock([redis], { retryCount: 0 }),
    clock: createRedisClock(redis),
    warmAheadMs,
    log,
  })
  const watchSales = createWatchSales({
    sales,
    warmAheadMs,
    readFigures: createReadSaleFigures({ mysql, redis }),
    lookAtQueue,
    lookAtDeadLetters: createLookAtQueue(named, 'deadLetterQueue'),
    readRedis: () => readRedisFigures(redis),
    log,
  })
  metrics.show(() => watchSales.seen())
  const publish = meterPublish(metrics.registry, createPublishReservations(broker))
  const timers = [
    repeat('warm sales', WARM_EVERY_MS, () => warmSales.look(), log),
    repeat(
      'relay unsettled',
      RELAY_EVERY_MS,
      createRelayAll({
        listKeptSales: () => listKeptSales(redis),
        relay: createRelayUnsettled({
          redis,
          publish: tracing ? traceRelay(tracing, publish) : publish,
          isQueueTaken: async () => isTaken(await lookAtQueue()),
          reject: async (saleId, reservations) => {
            const { decidedAtMs, decisions } = await rejectReservations(saleId, reservations, 'undecidable')
            // Told again with the next turn, when these words came too late.
            await settle(saleId, decidedAtMs, decisions)
          },
        }),
        onRelayed: (outcome) => metrics.countRelayed(outcome),
        log,
      }),
      log,
    ),
    repeat('watch sales', WATCH_EVERY_MS, () => watchSales.look(), log),
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
      await tracing?.close()
      await health.close()
    },
  }
})
