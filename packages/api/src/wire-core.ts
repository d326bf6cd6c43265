import type { Logger } from '@blitzbuy/core/log'
import { addGauge } from '@blitzbuy/core/metrics/registry'
import { meterPublish } from '@blitzbuy/core/metrics/publish-metrics'
import { addStoreMetrics } from '@blitzbuy/core/metrics/store-metrics'
import { brokerOf, listOf } from '@blitzbuy/core/config'
import { BLACKLIST_REFRESH_MS, createBlacklist } from '@blitzbuy/core/gate/blacklist'
import { createBlacklistEntries } from '@blitzbuy/core/gate/blacklist-entries'
import { createBlockedSessions } from '@blitzbuy/core/gate/blocked-sessions'
import { createSharedBuckets } from '@blitzbuy/core/gate/limits'
import { createStrikes, readStrikeRules } from '@blitzbuy/core/gate/strikes'
import { createCaptchas } from '@blitzbuy/core/gate/captchas'
import { createHumanCheck } from '@blitzbuy/core/gate/human-check'
import { createCaptchaDrawer } from '@blitzbuy/core/gate/draw-captcha'
import { createPicturePool, POOL_SIZE } from '@blitzbuy/core/gate/picture-pool'
import { createPurchaseTokens } from '@blitzbuy/core/gate/purchase-tokens'
import { createTokenPlaces } from '@blitzbuy/core/gate/token-places'
import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { createCancelOrder } from '@blitzbuy/core/order/cancel-order'
import { createOrders } from '@blitzbuy/core/order/orders'
import { createPayments } from '@blitzbuy/core/order/payments'
import { createPurchase } from '@blitzbuy/core/order/purchase'
import { createReadOrder } from '@blitzbuy/core/order/read-order'
import { createSandboxProvider } from '@blitzbuy/core/order/sandbox-provider'
import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createPublishReservations } from '@blitzbuy/core/rabbitmq/publish'
import { BLACKLIST_CHANGED, ORDERS_DECIDED, SESSION_ENDED, UNITS_ROSE } from '@blitzbuy/core/redis/channels'
import { connectRedis, connectRedisSubscriber } from '@blitzbuy/core/redis/connect-redis'
import { listen } from '@blitzbuy/core/redis/listen'
import { createRedisClock } from '@blitzbuy/core/redis/redis-clock'
import { repeat, type Repeating } from '@blitzbuy/core/repeat'
import { createHandOff } from '@blitzbuy/core/reservation/hand-off'
import { createOrderIds } from '@blitzbuy/core/reservation/order-id'
import { createPurchaseBatches } from '@blitzbuy/core/reservation/purchase-batches'
import { createSales } from '@blitzbuy/core/sale/sales'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { createReserve } from '@blitzbuy/core/stock/reserve'
import { createReturnStock } from '@blitzbuy/core/stock/return-stock'
import { createSoldOutFlags } from '@blitzbuy/core/stock/sold-out-flags'
import { storeChecks } from '@blitzbuy/core/store-checks'
import type { Tracing } from '@blitzbuy/core/tracing/tracing'
import { createAccounts } from '@blitzbuy/core/user/accounts'
import { createChangePassword } from '@blitzbuy/core/user/change-password'
import { createHashLine } from '@blitzbuy/core/user/hash-line'
import { createHashWorkers } from '@blitzbuy/core/user/hash-workers'
import { createLogIn, type VerifyHumanCheck } from '@blitzbuy/core/user/log-in'
import { createLoginTries } from '@blitzbuy/core/user/login-tries'
import { createSessions } from '@blitzbuy/core/user/sessions'

import { createApiMetrics } from './api-metrics.ts'
import { createAttemptLog } from './attempt-log.ts'
import { countAnswers, countCancelled, countLogins, countPaid } from './counted-core.ts'
import { createOrderPageUrl, paymentProvider, sessionLimits, streamLimits, type ApiConfig } from './config.ts'
import { createOrderStreams } from './order-streams.ts'
import { createPurchaseTraces } from './purchase-traces.ts'
import { createSaleViews } from './sale-views.ts'
import { wireOperators } from './wire-operators.ts'

/** What the live page of a sale shows is by the second. */
const ATTEMPTS_TOLD_MS = 1_000

export type Core = ReturnType<typeof wireCore>

/** Everything a route may call, wired once; the connections behind it are made and ended here. */
export function wireCore(config: ApiConfig, log: Logger, tracing?: Tracing) {
  const redis = connectRedis({ url: config.REDIS_URL, namespace: config.NAMESPACE })
  const subscriber = connectRedisSubscriber({ url: config.REDIS_URL })
  const mysql = connectMysql(config.MYSQL_URL)
  const broker = connectBroker({ ...brokerOf(config), role: 'publisher', log })

  const metrics = createApiMetrics(config.COMMIT)
  addStoreMetrics(metrics.registry, { mysql, redis, broker })

  const clock = createRedisClock(redis)
  redis.on('ready', () => void clock.refresh().catch(() => undefined))
  const flags = createSoldOutFlags()
  const sessions = createSessions(redis, sessionLimits(config))
  const line = createHashLine({ atOnce: config.HASHES_AT_ONCE, waitingMax: config.HASHES_WAITING_MAX })
  const hashWorkers = createHashWorkers(config.HASHES_AT_ONCE)
  const accounts = createAccounts(mysql, line, hashWorkers)
  const blockedSessions = createBlockedSessions({ sessions, accounts })
  const blacklistEntries = createBlacklistEntries(redis)
  const blacklist = createBlacklist({
    entries: blacklistEntries,
    clock,
    onPut: (subject) => blockedSessions.end(subject),
    onFound: (subject) => blockedSessions.endLater(subject),
  })
  let repeating: Repeating[] = []
  const attempts = createAttemptLog({ redis, metrics, clock })
  // From the first connection on: before that it would only report an outage that is none.
  redis.once('ready', () => {
    repeating = [
      repeat('refresh the blacklist', BLACKLIST_REFRESH_MS, () => blacklist.refresh(), log),
      repeat('tell of tries to buy', ATTEMPTS_TOLD_MS, () => attempts.write(), log),
      repeat('end blocked sessions', BLACKLIST_REFRESH_MS, () => blockedSessions.workOff(), log),
    ]
  })
  const orderIds = createOrderIds(listOf(config.ORDER_ID_SECRETS))
  const orders = createOrders(mysql)
  const readOrder = createReadOrder({ redis, mysql, orders, orderIds, clock })
  const orderStreams = createOrderStreams({ orders, readOrder, limits: streamLimits(config), log })
  listen(subscriber, redis, {
    [UNITS_ROSE]: (message) => {
      const [saleId, epoch, seq] = message.split(':').map(Number)
      if (saleId && epoch && seq) flags.lower(saleId, epoch, seq)
    },
    [SESSION_ENDED]: (sessionIds) =>
      listOf(sessionIds).forEach((id) => {
        sessions.forget(id)
        orderStreams.endOfSession(id)
      }),
    [ORDERS_DECIDED]: (orderIds) => orderStreams.heard(orderIds.split(',')),
    [BLACKLIST_CHANGED]: (message) => blacklist.heard(message),
    // Whatever was said while nobody listened is lost.
    onSubscribed: () => {
      flags.lowerAll()
      sessions.forgetAll()
      orderStreams.lookAtAll()
      // Should this fail, the next refresh sees that the copy is behind.
      void blacklist.load().catch(() => undefined)
    },
  })

  const handOff = createHandOff({
    publish: meterPublish(metrics.registry, createPublishReservations(broker)),
    log,
  })
  addGauge(
    metrics.registry,
    'blitzbuy_publish_kept_batches',
    'Batches without a confirm that this process keeps and publishes again.',
    () => handOff.keptCount(),
  )
  addGauge(metrics.registry, 'blitzbuy_sse_connections', 'Open streams of order events.', () =>
    orderStreams.count(),
  )
  const reserve = createReserve(redis)
  const purchaseTraces = tracing && createPurchaseTraces(tracing)
  const batches = createPurchaseBatches({
    reserve: purchaseTraces?.reserve(reserve) ?? reserve,
    handOff: purchaseTraces?.handOff(handOff) ?? handOff,
    flags,
    clock,
    orderIds,
    log,
  })
  const sales = createSales(mysql)
  const purchaseTokens = createPurchaseTokens(listOf(config.PURCHASE_TOKEN_SECRETS))
  const tokenPlaces = createTokenPlaces({ redis, tokens: purchaseTokens, clock })
  const drawer = createCaptchaDrawer()
  const pictures = createPicturePool({ size: POOL_SIZE, draw: (text) => drawer.draw(text) })
  addGauge(
    metrics.registry,
    'blitzbuy_captcha_pictures',
    'Pictures that are drawn and not given out yet.',
    () => pictures.readyCount(),
  )
  const captchas = createCaptchas({ redis, pictures })

  const tries = createLoginTries(redis, {
    perAccount: config.LOGIN_TRIES_PER_ACCOUNT,
    perAddress: config.LOGIN_TRIES_PER_ADDRESS,
    refillMs: config.LOGIN_TRIES_REFILL_SECONDS * 1000,
  })
  const verifyHumanCheck: VerifyHumanCheck = ({ captchaId, answer }, binding) =>
    captchas.take(captchaId, { of: 'login', binding }, answer)

  const operators = wireOperators({
    config,
    log,
    mysql,
    redis,
    clock,
    sales,
    blacklistEntries,
    attempts,
  })

  const returnStock = createReturnStock(redis)
  const cooldownMs = config.CANCEL_COOLDOWN_SECONDS * 1000
  const sandbox =
    paymentProvider(config) === 'sandbox'
      ? createSandboxProvider({
          mysql,
          secrets: listOf(config.PAYMENT_CALLBACK_SECRETS),
          publicOrigin: config.PUBLIC_ORIGIN,
        })
      : undefined

  return {
    metrics,
    mysqlPool: mysql.pool,
    accounts,
    logIn: countLogins(createLogIn({ accounts, line, tries, verifyHumanCheck, log }), metrics),
    changePassword: createChangePassword({ accounts, sessions, tries, verifyHumanCheck }),
    captchas,
    hashLine: line,
    sessions,
    blacklist,
    strikes: createStrikes({ redis, rules: readStrikeRules(config), log }),
    sharedBuckets: createSharedBuckets(redis),
    clock,
    flags,
    saleViews: createSaleViews({ sales, readStocks: createReadStocks(redis), orders, clock }),
    purchase: createPurchase({ batches, readOrder, returnStock, cooldownMs }),
    purchaseTokens,
    tokenPlaces,
    humanCheck: countAnswers(createHumanCheck({ captchas, places: tokenPlaces, clock }), metrics),
    orders,
    readOrder,
    orderStreams,
    cancelOrder: countCancelled(createCancelOrder({ mysql, returnStock, cooldownMs }), metrics),
    /** The provider that takes payments; none where they are switched off. */
    gateway: sandbox,
    sandbox,
    orderPageUrl: createOrderPageUrl(config),
    payments: sandbox && countPaid(createPayments({ mysql, gateway: sandbox }), metrics),
    operators,
    traces: tracing && purchaseTraces && { tracing, purchases: purchaseTraces },
    /** The connection that @fastify/redis makes known to plugins. */
    redis,
    // Purchases go on through the ledger without RabbitMQ, so it does not make the api unready.
    checks: storeChecks({ mysql, redis }),
    /** Buyers first, then what they need. */
    async close() {
      pictures.close()
      await drawer.close()
      await hashWorkers.close()
      await orderStreams.close()
      await operators.live.close()
      await batches.drained()
      await handOff.close()
      await broker.close()
      await Promise.all(repeating.map((step) => step.close()))
      subscriber.disconnect()
      redis.disconnect()
      await mysql.close()
    },
  }
}
