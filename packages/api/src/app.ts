import { randomBytes } from 'node:crypto'

import { listOf } from '@blitzbuy/core/config'
import type { Logger } from '@blitzbuy/core/log'
import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify'

import type { ApiConfig } from './config.ts'
import assets from './plugins/assets.ts'
import core from './plugins/core.ts'
import crossSite from './plugins/cross-site.ts'
import drain from './plugins/drain.ts'
import methodNotAllowed from './plugins/method-not-allowed.ts'
import redis from './plugins/redis.ts'
import session from './plugins/session.ts'
import views from './plugins/views.ts'
import { answerWithProblem, refuse } from './refusals.ts'
import authRoutes from './routes/api/auth.ts'
import checkRoutes from './routes/api/checks.ts'
import orderRoutes from './routes/api/orders.ts'
import purchaseRoutes from './routes/api/purchases.ts'
import saleRoutes from './routes/api/sales.ts'
import errorPages from './routes/pages/error-pages.ts'
import pageRoutes from './routes/pages/index.ts'
import type { Core } from './wire-core.ts'

const API = '/api/v1'

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
  const app = createApp(log)
  const sessions = { secrets: listOf(config.SESSION_SECRETS), publicOrigin: config.PUBLIC_ORIGIN }

  // Fastify's parser for it would let a plain form of another site reach a JSON route.
  app.removeContentTypeParser('text/plain')
  app.setErrorHandler(answerWithProblem)
  app.setNotFoundHandler((_request, reply) => refuse(reply, { code: 'not-found' }))

  await app.register(methodNotAllowed)
  await app.register(drain)
  await app.register(core, { core: deps.core })
  await app.register(redis)
  await app.register(crossSite, { publicOrigin: config.PUBLIC_ORIGIN })

  // The purchase itself, and what everybody may see: no session plugin, no hooks beside those above.
  await app.register(purchaseRoutes, { prefix: API, ...sessions })
  await app.register(saleRoutes, { prefix: API })

  // How answers become pages. After the routes above, so that none of its hooks is theirs.
  await app.register(assets)
  await app.register(views, { keepTemplates: config.NODE_ENV !== 'development' })
  await app.register(errorPages)

  // What belongs to one person.
  await app.register(async (personal) => {
    await personal.register(session, sessions)
    await personal.register(authRoutes, { prefix: API })
    await personal.register(checkRoutes, { prefix: API })
    await personal.register(orderRoutes, { prefix: API })
    await personal.register(pageRoutes, { publicOrigin: config.PUBLIC_ORIGIN })
  })

  app.refuseOtherMethods()
  return app
}

function createApp(log: Logger): FastifyInstance {
  return Fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    // Never a client's header: it would let anybody write into the logs of somebody else's request.
    requestIdHeader: false,
    genReqId: createRequestIds(),
    bodyLimit: 16 * 1024,
    connectionTimeout: 30_000,
    // 0, the default, switches Node's own limit off: a stalled body would stay open for ever.
    requestTimeout: 15_000,
    keepAliveTimeout: 30_000,
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
