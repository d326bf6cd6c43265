import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { userSubject } from '@blitzbuy/core/gate/blacklist-subject'
import { CAPTCHA_TTL_MS } from '@blitzbuy/core/gate/captchas'
import type { CheckedPerson } from '@blitzbuy/core/gate/human-check'
import type { FastifyReply, FastifyRequest } from 'fastify'

import { refusalOfCheck } from '../../check-answers.ts'
import { requireAccount } from '../../plugins/session.ts'
import { refuse } from '../../refusals.ts'
import type { SaleView } from '../../sale-views.ts'
import {
  CaptchaAnswer,
  CaptchaBody,
  PurchaseTokenAnswer,
  PurchaseTokenBody,
  imageIsDefault,
  toCaptchaAnswer,
} from '../../schemas/checks.ts'
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
      preValidation: imageIsDefault,
    },
    async (request, reply) => {
      const asked = await readAsked(request, reply)
      if (!asked) return reply
      const { sale, person } = asked
      const outcome = await humanCheck.challenge(sale, person, request.body.kind ?? 'image')
      const nowMs = clock.nowMs()
      return outcome.kind === 'image' || outcome.kind === 'work'
        ? reply.code(201).send(toCaptchaAnswer(outcome, nowMs + CAPTCHA_TTL_MS))
        : refuse(reply, refusalOfCheck(outcome, sale.opensAtMs, nowMs))
    },
  )

  app.post(
    '/sales/:saleId/purchase-tokens',
    {
      onRequest: app.limits.challenge,
      schema: { params: SaleParams, body: PurchaseTokenBody, response: { 201: PurchaseTokenAnswer } },
    },
    async (request, reply) => {
      const asked = await readAsked(request, reply)
      if (!asked) return reply
      const { sale, person } = asked
      const { captchaId, answer } = request.body
      const outcome = await humanCheck.answer(sale, person, captchaId, answer)
      if (outcome.kind === 'incorrect') void strikes.record('captcha-wrong', userSubject(person.userId))
      if (outcome.kind !== 'held')
        return refuse(reply, refusalOfCheck(outcome, sale.opensAtMs, clock.nowMs()))
      const { purchaseToken, notBeforeMs, expiresAtMs } = outcome
      return reply.code(201).send({ purchaseToken, notBeforeMs, expiresAtMs })
    },
  )

  /** Who asks, and in which sale; undefined when a refusal has been sent. */
  async function readAsked(
    request: FastifyRequest<{ Params: { saleId: string } }>,
    reply: FastifyReply,
  ): Promise<{ sale: SaleView; person: CheckedPerson } | undefined> {
    const account = requireAccount(request, reply)
    if (!account) return undefined
    const saleId = readSaleId(request.params.saleId)
    const sale = saleId && (await saleViews.find(saleId))
    if (!sale) {
      refuse(reply, { code: 'not-found' })
      return undefined
    }
    return { sale, person: { userId: account.userId, sessionId: request.session.sessionId } }
  }
}

export default checkRoutes
