import { brokerOf, healthAddress, loadConfig } from '@blitzbuy/core/config'
import { armCrashPoints } from '@blitzbuy/core/crash-point'
import { startHealthServer } from '@blitzbuy/core/health'
import { userSubject } from '@blitzbuy/core/gate/blacklist-subject'
import { createStrikes, readStrikeRule } from '@blitzbuy/core/gate/strikes'
import { createLog } from '@blitzbuy/core/log'
import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { addStoreMetrics } from '@blitzbuy/core/metrics/store-metrics'
import { createExpireOrders } from '@blitzbuy/core/order/expire-orders'
import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { askForReconcile } from '@blitzbuy/core/order/reconcile-sale'
import { createRejectReservations } from '@blitzbuy/core/order/reject-reservations'
import { createRefundPayments } from '@blitzbuy/core/order/refund-payments'
import { createReturnDueStock } from '@blitzbuy/core/order/return-due-stock'
import { createSandboxRefunds } from '@blitzbuy/core/order/sandbox-provider'
import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createPublishDeadLetter } from '@blitzbuy/core/rabbitmq/publish'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'
import { repeat } from '@blitzbuy/core/repeat'
import { runProcess } from '@blitzbuy/core/run-process'
import { storeChecks } from '@blitzbuy/core/store-checks'
import { createReturnStock } from '@blitzbuy/core/stock/return-stock'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { loadTracing } from '@blitzbuy/core/tracing/tracing'

import { WorkerConfig } from './config.ts'
import { subscribeToReservations, type Subscription } from './subscriptions/place-reservations.ts'
import { createWorkOffReservations } from './work-off-reservations.ts'
import { createWorkerMetrics } from './worker-metrics.ts'
import { createWorkerTraces } from './worker-traces.ts'

const EXPIRE_EVERY_MS = 1_000
const RETURN_EVERY_MS = 500
const REFUND_EVERY_MS = 1_000
const FIRST_CONNECTION_MS = 2_000

await runProcess('order-worker', async () => {
  const config = loadConfig(WorkerConfig)
  armCrashPoints(config)
  const log = createLog({ name: 'order-worker', level: config.LOG_LEVEL })
  const mysql = connectMysql(config.MYSQL_URL, { connectionLimit: 5 })
  const redis = connectRedis({ url: config.REDIS_URL, namespace: config.NAMESPACE })
  const rabbitmq = { ...brokerOf(config), log }
  const broker = connectBroker({ ...rabbitmq, role: 'consumer', prefetch: config.PREFETCH })
  // A broker that blocks publishers, an alarm of its disk, would block the connection that acknowledges too.
  const publisher = connectBroker({ ...rabbitmq, role: 'publisher' })

  const metrics = createWorkerMetrics(config.COMMIT)
  addStoreMetrics(metrics.registry, { mysql, redis, broker })

  const tracing = await loadTracing(config, 'order-worker', log)
  const traces = tracing && createWorkerTraces(tracing)
  const place = metrics.countPlacing(createPlaceReservations(mysql))
  const settle = createSettle(redis)
  const workOff = createWorkOffReservations({
    mysql,
    placeReservations: traces?.placing(place) ?? place,
    rejectReservations: createRejectReservations(mysql),
    publishDeadLetter: createPublishDeadLetter(publisher),
    settle: traces?.settle(settle) ?? settle,
    askForReconcile: (saleId) => askForReconcile(redis, saleId),
    log,
  })
  // The health server answers while the broker is awaited.
  let subscription: Subscription | undefined
  const work = metrics.timeWork(traces?.work(workOff) ?? workOff)
  void subscribeToReservations({ broker, workOff: work, metrics, log }).then(
    (begun) => (subscription = begun),
  )
  const health = await startHealthServer({
    ...healthAddress(config),
    checks: {
      ...storeChecks({ mysql, redis, broker }),
      consumer: async () => {
        if (!subscription) throw new Error('not subscribed yet')
      },
    },
    registry: metrics.registry,
  })
  // A timer that runs before the first connection would only report an outage that is none.
  await redisReady(redis, FIRST_CONNECTION_MS).catch(() => undefined)
  const strikes = createStrikes({
    redis,
    rules: { 'order-unpaid': readStrikeRule(config.RULE_ORDER_UNPAID) },
    log,
  })
  const onUnpaid = (userIds: readonly number[], saleId: number): void => {
    for (const userId of userIds) {
      metrics.orderResults.count(saleId, 'expired')
      void strikes.record('order-unpaid', userSubject(userId))
    }
  }
  const timers = [
    repeat('expire orders', EXPIRE_EVERY_MS, createExpireOrders(mysql, onUnpaid), log),
    repeat(
      'return stock',
      RETURN_EVERY_MS,
      createReturnDueStock(mysql, createReturnStock(redis), config.CANCEL_COOLDOWN_SECONDS * 1000),
      log,
    ),
    repeat('refund payments', REFUND_EVERY_MS, createRefundPayments(mysql, createSandboxRefunds(mysql)), log),
  ]

  return {
    log,
    health,
    async close() {
      health.drain()
      await subscription?.close()
      await Promise.all(timers.map((timer) => timer.close()))
      await Promise.all([broker.close(), publisher.close()])
      redis.disconnect()
      await mysql.close()
      await tracing?.close()
      await health.close()
    },
  }
})
