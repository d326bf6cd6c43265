import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'

import { operatorOf } from '../../../plugins/operators.ts'
import { refuse } from '../../../refusals.ts'
import { CodeBody } from '../../../schemas/operators.ts'

/** Showing the second factor, and giving up what it opened. It is set up on the page, where its picture is. */
const secondFactorRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { secondFactors, marks } = app.core.operators

  app.get('/session', async (request) => operatorOf(request))

  app.post(
    '/session',
    { onRequest: app.limits.auth, config: { isBeforeSecondFactor: true }, schema: { body: CodeBody } },
    async (request, reply) => {
      const operator = operatorOf(request)
      if (!operator.hasSecondFactor) return refuse(reply, { code: 'second-factor-missing' })
      const outcome = await secondFactors.verify(operator.userId, request.body.code)
      switch (outcome.kind) {
        case 'incorrect':
          return refuse(reply, {
            code: 'second-factor-incorrect',
            details: { triesLeft: outcome.triesLeft },
          })
        case 'locked':
          return refuse(reply, { code: 'second-factor-locked', retryAfterMs: outcome.retryAfterMs })
        case 'verified':
          await app.beginOperatorSession(request)
          return operator
      }
    },
  )

  app.delete('/session', { config: { isBeforeSecondFactor: true } }, async (request, reply) => {
    await marks.remove(request.session.sessionId)
    return reply.code(204).send()
  })
}

export default secondFactorRoutes
