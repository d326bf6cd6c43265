import { randomBytes } from 'node:crypto'

import { listOf } from '@blitzbuy/core/config'
import type { Logger } from '@blitzbuy/core/log'
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'

import { createAnswerBadPath, createEndConnection } from './answer-unroutable.ts'
import { sessionLimits, type ApiConfig } from './config.ts'
import answerWithin from './plugins/answer-within.ts'
import assets from './plugins/assets.ts'
import blacklist from './plugins/blacklist.ts'
import client from './plugins/client.ts'
import connectionLine from './plugins/connection-line.ts'
import core from './plugins/core.ts'
import crossSite from './plugins/cross-site.ts'
import deviceCookie from './plugins/device-cookie.ts'
import drain from './plugins/drain.ts'
import loadShedding from './plugins/load-shedding.ts'
import language from './plugins/language.ts'
import hashLine from './plugins/hash-line.ts'
import limits from './plugins/limits.ts'
import metrics from './plugins/metrics.ts'
import operators from './plugins/operators.ts'
import methodNotAllowed, { METHODS } from './plugins/method-not-allowed.ts'
import openapi from './plugins/openapi.ts'
import redis from './plugins/redis.ts'
import requestId from './plugins/request-id.ts'
import securityHeadersOnAll, { securityHeaders, type SecurityHeaders } from './plugins/security-headers.ts'
import session from './plugins/session.ts'
import tracing from './plugins/tracing.ts'
import views from './plugins/views.ts'
import { createRequestLog } from './request-log.ts'
import { answerWithProblem, refuse } from './refusals.ts'
import operatorRoutes from './routes/api/admin/index.ts'
import authRoutes from './routes/api/auth.ts'
import checkRoutes from './routes/api/checks.ts'
import paymentCallbackRoutes from './routes/api/payment-callbacks.ts'
import orderEventRoutes from './routes/api/order-events.ts'
import orderRoutes from './routes/api/orders.ts'
import purchaseRoutes from './routes/api/purchases.ts'
import saleRoutes from './routes/api/sales.ts'
import errorPages from './routes/pages/error-pages.ts'
import pageRoutes from './routes/pages/index.ts'
import sandboxPages from './routes/pages/sandbox-payments.ts'
import type { Core } from './wire-core.ts'

const API = '/api/v1'
const HEADERS_BYTES_MAX = 8 * 1024
const CONNECTIONS_CHECK_MS = 500

/**
 * The api, top to bottom in the order in which a purchase meets it.
 *
 * Registration is spelled out, not discovered from folders, because here the order is a security property.
 */
export async function buildApi(deps: {
  config: ApiConfig
  core: Core
  log: Logger
}): Promise<FastifyInstance> {
  const { config, log } = deps
  const headers = securityHeaders(config.PUBLIC_ORIGIN)
  const nextRequestId = createRequestIds()
  const app = createApp(config, headers, nextRequestId)
  const sessions = { secrets: listOf(config.SESSION_SECRETS), publicOrigin: config.PUBLIC_ORIGIN }

  // What is no request's: Fastify was given no log, see createApp.
  app.log = log as FastifyBaseLogger
  app.setChildLoggerFactory(createRequestLog(log))
  // Fastify's parser for it would let a plain form of another site reach a JSON route.
  app.removeContentTypeParser('text/plain')
  app.setErrorHandler(answerWithProblem)

  await app.register(connectionLine, { speakWithinMs: config.HEADERS_TIMEOUT_MS })
  await app.register(securityHeadersOnAll, { headers })
  await app.register(language, { publicOrigin: config.PUBLIC_ORIGIN })
  await app.register(methodNotAllowed)
  await app.register(openapi)
  await app.register(drain)
  // Before session and body, and before anything that costs.
  await app.register(loadShedding, { thresholds: config, mysqlPool: deps.core.mysqlPool })
  await app.register(core, { core: deps.core })
  await app.register(metrics)
  if (deps.core.traces) await app.register(tracing, deps.core.traces)
  await app.register(requestId)
  await app.register(redis)
  await app.register(client)
  await app.register(limits, { config })
  await app.register(blacklist)
  await app.register(crossSite, { publicOrigin: config.PUBLIC_ORIGIN })
  await app.register(answerWithin, { answerWithinMs: config.ANSWER_WITHIN_MS })

  // The purchase itself: no session plugin, no hooks beside those above.
  await app.register(purchaseRoutes, { prefix: API, ...sessions })

  // A context of its own: a hook that is added to `app` here would be the purchase's too, although it came before.
  await app.register(async (others) => {
    others.answerAllInTime()
    // What everybody may see.
    await others.register(saleRoutes, { prefix: API })
    // From other companies, who prove themselves by a signature.
    await others.register(paymentCallbackRoutes, { prefix: API })

    await others.register(async (site) => {
      // How answers become pages.
      await site.register(assets)
      await site.register(views, { keepTemplates: config.NODE_ENV !== 'development' })
      await site.register(errorPages)
      if (deps.core.sandbox) await site.register(sandboxPages, { sandbox: deps.core.sandbox })

      // What belongs to one person.
      await site.register(async (personal) => {
        await personal.register(hashLine, { headers, nextRequestId })
        await personal.register(session, { ...sessions, limits: sessionLimits(config) })
        await personal.register(deviceCookie, sessions)
        personal.addHook('onRequest', app.admitVisitor)
        await personal.register(authRoutes, { prefix: API })
        await personal.register(checkRoutes, { prefix: API })
        await personal.register(orderRoutes, { prefix: API })
        await personal.register(orderEventRoutes, { prefix: API })
        await personal.register(operators)
        await personal.register(operatorRoutes, { prefix: `${API}/admin` })
        await personal.register(pageRoutes, sessions)
      })

      site.refuseOtherMethods()
      // Limited, or every address could be tried.
      site.setNotFoundHandler((request, reply) =>
        app.limits.notFound(request, reply)
          ? refuse(reply, { code: METHODS.includes(request.method) ? 'not-found' : 'method-not-allowed' })
          : reply,
      )
    })
  })

  return app
}

function createApp(
  config: ApiConfig,
  headers: SecurityHeaders,
  nextRequestId: () => string,
): FastifyInstance {
  return Fastify({
    // Fastify says nothing by itself, so it need not watch every answer until it is sent: requests log by themselves.
    logger: false,
    // The id is called as in the messages and in the other processes' lines: one search finds all.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    // Never a client's header: it would let anybody write into the logs of somebody else's request.
    requestIdHeader: false,
    genReqId: nextRequestId,
    // A list alone: a number of hops or `true` would believe what anybody writes into X-Forwarded-For.
    trustProxy: config.TRUSTED_PROXIES === undefined ? false : listOf(config.TRUSTED_PROXIES),
    bodyLimit: 16 * 1024,
    connectionTimeout: config.IDLE_TIMEOUT_MS,
    keepAliveTimeout: config.IDLE_TIMEOUT_MS,
    // 0, the default, switches Node's own limit off: a stalled body would stay open for ever.
    requestTimeout: config.REQUEST_TIMEOUT_MS,
    http: {
      // A connection that sends nothing at all is held to it too.
      headersTimeout: config.HEADERS_TIMEOUT_MS,
      // Node looks every 30 s by default: a slow request would live three times as long as it may.
      connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
      maxHeaderSize: HEADERS_BYTES_MAX,
    },
    frameworkErrors: createAnswerBadPath(headers),
    clientErrorHandler: createEndConnection(headers),
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    routerOptions: { maxParamLength: 100 },
    // Fastify's defaults repair a body: strip unknown fields, turn true into 1. A wrong body is refused instead.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: true } },
  })
}

/** Unique over all processes and restarts, short, and harmless in a log. */
function createRequestIds(): () => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return () => {
    count += 1
    return `${prefix}-${count.toString(36)}`
  }
}
