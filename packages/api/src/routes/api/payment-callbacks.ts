import type { FastifyPluginAsync } from 'fastify'

import { refuse } from '../../refusals.ts'

/**
 * What providers say. No cookie, no session: the signature over time and body is the proof.
 *
 * 204 means that it is stored; on everything else the provider sends it again.
 */
const paymentCallbackRoutes: FastifyPluginAsync = async (app) => {
  const { gateway, payments, clock } = app.core

  // As text: the signature is over the bytes, and a parsed body written out again may differ.
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    done(null, body)
  })

  app.post<{ Params: { provider: string } }>(
    '/payment-callbacks/:provider',
    { config: { isSigned: true } },
    async (request, reply) => {
      if (!gateway || !payments || request.params.provider !== gateway.provider) {
        return refuse(reply, { code: 'not-found' })
      }
      const body = typeof request.body === 'string' ? request.body : ''
      const callback = gateway.readCallback(request.headers, body, clock.nowMs())
      if (callback.kind === 'forged') return refuse(reply, { code: 'signature-invalid' })
      if (callback.kind === 'unreadable') return refuse(reply, { code: 'request-invalid' })

      const { event } = callback
      const outcome = await payments.take(event)
      if (outcome.kind === 'unknown_payment') {
        // Somebody's money, perhaps: a person has to look.
        request.log.error({ event }, 'a provider speaks of a payment that is not ours')
        return refuse(reply, { code: 'not-found' })
      }
      request.log.info({ event, outcome }, 'payment callback')
      return reply.code(204).send()
    },
  )
}

export default paymentCallbackRoutes
