import type { FastifyPluginAsync } from 'fastify'

import auditLogRoutes from './audit-log.ts'
import blacklistRoutes from './blacklist.ts'
import deadLetterRoutes from './dead-letters.ts'
import liveRoutes from './live.ts'
import orderRoutes from './orders.ts'
import productRoutes from './products.ts'
import saleRoutes from './sales.ts'
import secondFactorRoutes from './second-factor.ts'

/** What operators do, as JSON: the same acts as on the pages under /admin. */
const operatorRoutes: FastifyPluginAsync = async (app) => {
  app.addHook('onRoute', (route) => {
    // Who can stop a sale must get through when everybody else is given up.
    route.config = { ...route.config, kind: 'purchase' }
  })
  app.addHook('onRequest', app.admitOperator)
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('cache-control', 'no-store')
    done()
  })
  await app.register(secondFactorRoutes)
  await app.register(productRoutes)
  await app.register(saleRoutes)
  await app.register(liveRoutes)
  await app.register(orderRoutes)
  await app.register(blacklistRoutes)
  await app.register(deadLetterRoutes)
  await app.register(auditLogRoutes)
}

export default operatorRoutes
