import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { userSubject } from '@blitzbuy/core/gate/blacklist-subject'
import { CAPTCHA_TTL_MS } from '@blitzbuy/core/gate/captchas'

import { refusalOfCheck } from '../../check-answers.ts'
import { requireAccount } from '../../plugins/session.ts'
import { refuse } from '../../refusals.ts'
import { CaptchaAnswer, CaptchaBody, PurchaseTokenAnswer, PurchaseTokenBody } from '../../schemas/checks.ts'
import { SaleParams, readSaleId } from '../../schemas/identifiers.ts'

/** The human check: a challenge, and what solving it buys. */
const checkRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { humanCheck, strikes, saleViews, clock } = app.core
  app.addHook('onSend', (_request, reply, _payload, done) => {
    reply.header('cache-control', 'no-store')
    done()
  })

  app.post(
    '/sales/:saleId/captchas',
    {
      onRequest: app.limits.challenge,
      schema: { params: SaleParams, body: CaptchaBody, response: { 201: CaptchaAnswer } },
      // No body at all means a picture.
      preValidation: (request, _reply, done) => {
        request.body ??= {}
        done()
      },
    },
    async (request, reply) => {
      const account = requireAccount(request, reply)
      if (!account) return reply
      const saleId = readSaleId(request.params.saleId)
      const sale = saleId && (await saleViews.find(saleId))
      if (!sale) return refuse(reply, { code: 'not-found' })

      const person = { userId: account.userId, sessionId: request.session.sessionId }
      const outcome = await humanCheck.challenge(sale, person, request.body.kind ?? 'image')
      const expiresAtMs = clock.nowMs() + CAPTCHA_TTL_MS
      switch (outcome.kind) {
        case 'image':
          return reply.code(201).send({ captchaId: outcome.captchaId, image: outcome.image, expiresAtMs })
        case 'work':
          return reply.code(201).send({ captchaId: outcome.captchaId, work: outcome.work, expiresAtMs })
        default:
          return refuse(reply, refusalOfCheck(outcome, sale.opensAtMs, clock.nowMs()))
      }
    },
  )

  app.post(
    '/sales/:saleId/purchase-tokens',
    {
      onRequest: app.limits.challenge,
      schema: { params: SaleParams, body: PurchaseTokenBody, response: { 201: PurchaseTokenAnswer } },
    },
    async (request, reply) => {
      const account = requireAccount(request, reply)
      if (!account) return reply
      const saleId = readSaleId(request.params.saleId)
      const sale = saleId && (await saleViews.find(saleId))
      if (!sale) return refuse(reply, { code: 'not-found' })

      const person = { userId: account.userId, sessionId: request.session.sessionId }
      const { captchaId, answer } = request.body
      const outcome = await humanCheck.answer(sale, person, captchaId, answer)
      if (outcome.kind === 'incorrect') void strikes.record('captcha-wrong', userSubject(account.userId))
      if (outcome.kind !== 'held')
        return refuse(reply, refusalOfCheck(outcome, sale.opensAtMs, clock.nowMs()))
      const { purchaseToken, notBeforeMs, expiresAtMs } = outcome
      return reply.code(201).send({ purchaseToken, notBeforeMs, expiresAtMs })
    },
  )
}

export default checkRoutes
