import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'

import { beginSession, requireAccount } from '../../plugins/session.ts'
import { refuse } from '../../refusals.ts'
import { AccountAnswer, LoginBody, RegisterBody } from '../../schemas/accounts.ts'

/** Accounts and sessions. */
const authRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { accounts } = app.core
  const guarded = { onRequest: app.limits.auth, preHandler: app.admitPhone }

  app.post(
    '/auth/register',
    { ...guarded, schema: { body: RegisterBody, response: { 201: AccountAnswer } } },
    async (request, reply) => {
      const outcome = await accounts.register(request.body)
      switch (outcome.kind) {
        case 'phone_taken':
          return refuse(reply, { code: 'phone-taken' })
        case 'phone_invalid':
          return refuse(reply, { code: 'phone-invalid' })
        case 'password_weak':
          return refuse(reply, { code: 'password-weak' })
        case 'registered':
          await beginSession(request, outcome.account)
          return reply.code(201).send(outcome.account)
      }
    },
  )

  app.post(
    '/auth/login',
    { ...guarded, schema: { body: LoginBody, response: { 200: AccountAnswer } } },
    async (request, reply) => {
      const account = await accounts.authenticate(request.body)
      if (!account) return refuse(reply, { code: 'credentials-invalid' })
      if (!app.admitUser(account.userId, reply)) return reply
      await beginSession(request, account)
      return account
    },
  )

  app.post('/auth/logout', { config: { isOpenToBlocked: true } }, async (request, reply) => {
    await request.session.destroy()
    return reply.code(204).send()
  })

  app.get('/me', { schema: { response: { 200: AccountAnswer } } }, async (request, reply) => {
    const account = requireAccount(request, reply)
    return account ?? reply
  })
}

export default authRoutes
