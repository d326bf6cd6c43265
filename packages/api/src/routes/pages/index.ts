import fastifyFormbody from '@fastify/formbody'
import type { FastifyPluginAsync } from 'fastify'

import formTokens, { type FormTokenOptions } from '../../plugins/form-tokens.ts'
import accountSecurityPages from './account-security.ts'
import accountPages from './accounts.ts'
import operatorPages from './admin/index.ts'
import checkPages from './checks.ts'
import orderPages from './orders.ts'
import salePages from './sales.ts'

/**
 * What a shopper sees. Every page and every form works without a script; client/ only makes it livelier.
 *
 * Forms are parsed here and nowhere else, and a form that changed something answers with 303: a reload repeats
 * nothing.
 */
const pageRoutes: FastifyPluginAsync<FormTokenOptions> = async (app, options) => {
  app.addHook('onRequest', app.switchLanguage)
  await app.register(fastifyFormbody)
  await app.register(formTokens, options)
  await app.register(salePages)
  await app.register(checkPages, options)
  await app.register(accountPages)
  await app.register(accountSecurityPages)
  await app.register(orderPages)
  await app.register(operatorPages, { prefix: '/admin' })
}

export default pageRoutes
