import type { FastifyPluginAsync } from 'fastify'

import auditLogPages from './audit-log.ts'
import blacklistPages from './blacklist.ts'
import dashboardPages from './dashboard.ts'
import deadLetterPages from './dead-letters.ts'
import livePages from './live.ts'
import orderPages from './orders.ts'
import productPages from './products.ts'
import reconcilePages from './reconcile.ts'
import salePages from './sale.ts'
import saleListPages from './sales.ts'
import secondFactorPages from './second-factor.ts'

/**
 * What operators see. For everybody else there is nothing here: the guard is the first hook of every page.
 *
 * Everything works without a script, and every form that changed something answers with 303.
 */
const operatorPages: FastifyPluginAsync = async (app) => {
  app.addHook('onRoute', (route) => {
    // Who can stop a sale must get through when everybody else is given up.
    route.config = { ...route.config, kind: 'purchase' }
  })
  app.addHook('onRequest', app.admitOperator)
  await app.register(secondFactorPages)
  await app.register(dashboardPages)
  await app.register(saleListPages)
  await app.register(salePages)
  await app.register(livePages)
  await app.register(reconcilePages)
  await app.register(productPages)
  await app.register(orderPages)
  await app.register(blacklistPages)
  await app.register(deadLetterPages)
  await app.register(auditLogPages)
}

export default operatorPages
