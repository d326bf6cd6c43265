import { userSubject } from '@blitzbuy/core/gate/blacklist-subject'
import type { IncomingHttpHeaders } from 'node:http'

import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'

import { createReadBuyer, type SessionOptions } from '../../plugins/session.ts'
import { notOpen, refusalOfPurchase } from '../../purchase-answers.ts'
import { refuse } from '../../refusals.ts'
import { SaleParams, readSaleId } from '../../schemas/identifiers.ts'
import {
  OrderAnswer,
  PurchaseAnswer,
  PurchaseBody,
  pollAfterMs,
  toOrderAnswer,
} from '../../schemas/orders.ts'

/**
 * The hot route. Registered outside the session plugin; every step costs what it must and no more:
 * the flag, the blacklist and the limits (no trip; what the address decides before session and body), the session
 * (local copy first), the purchase token (no trip), the batch.
 */
const purchaseRoutes: FastifyPluginAsyncTypebox<SessionOptions> = async (app, options) => {
  const { flags, sessions, purchaseTokens, strikes, purchase, saleViews, clock } = app.core
  const readBuyer = createReadBuyer(sessions, options)

  app.post(
    '/sales/:saleId/orders',
    {
      config: { isPurchase: true },
      schema: { params: SaleParams, body: PurchaseBody, response: { 200: OrderAnswer, 202: PurchaseAnswer } },
      onRequest: (request, reply, done) => {
        // Whose answer was lost may hold the last unit: a retry asks the stock itself.
        if (!isRetry(request) && flags.isRaised(Number(request.params.saleId)))
          return void refuse(reply, { code: 'sold-out' })
        if (!app.admitAddress(request, reply) || !app.limits.purchaseOfAddress(request, reply)) return
        done()
      },
      // No body at all means one unit.
      preValidation: (request, _reply, done) => {
        request.body ??= {}
        done()
      },
      onSend: app.endAnswerTime,
    },
    // It answers by itself and returns nothing: Fastify would wait for a reply that is returned as for a promise.
    async (request, reply): Promise<void> => {
      const saleId = readSaleId(request.params.saleId)
      if (!saleId) return void refuse(reply, { code: 'not-found' })
      const read = readBuyer(request)
      // Stores are waited for from here on, or from where the stock is asked; nothing before takes time.
      if (read instanceof Promise) app.beginAnswerTime(request, reply)
      const buyer = read instanceof Promise ? await read : read
      if (!buyer) return void refuse(reply, { code: 'login-required' })
      if (!app.admitUser(buyer.userId, reply) || !app.limits.purchaseOfUser(buyer.userId, reply)) return
      if (isRetry(request) && flags.isRaised(saleId) && !app.limits.retryOfUser(buyer.userId, reply)) return

      const token = purchaseTokens.read(
        request.headers['x-purchase-token'],
        saleId,
        buyer.userId,
        clock.nowMs(),
      )
      if (token.kind === 'invalid') {
        // None at all is a page that was open for long; one that is wrong was made or taken from somebody.
        if (request.headers['x-purchase-token'])
          void strikes.record('token-misuse', userSubject(buyer.userId))
        return void refuse(reply, { code: 'purchase-token-invalid' })
      }
      if (token.kind === 'early') return void refuse(reply, notOpen(token.notBeforeMs, clock.nowMs()))

      app.beginAnswerTime(request, reply)
      const outcome = await purchase({
        saleId,
        userId: buyer.userId,
        quantity: request.body.quantity ?? 1,
        requestId: request.id,
        tokenIssuedAtMs: token.issuedAtMs,
      })
      switch (outcome.kind) {
        case 'reserved':
          return void reply
            .code(202)
            .header('location', `/api/v1/orders/${outcome.orderId}`)
            .header('cache-control', 'no-store')
            .send({
              orderId: outcome.orderId,
              state: 'queued',
              handoff: outcome.handoff,
              pollAfterMs: pollAfterMs(0),
            })
        case 'already_ordered':
          return void reply.header('cache-control', 'no-store').send(toOrderAnswer(outcome.order))
        default: {
          const sale = outcome.kind === 'not_warmed' ? await saleViews.find(saleId) : undefined
          refuse(reply, refusalOfPurchase(outcome, sale, clock.nowMs()))
        }
      }
    },
  )
}

export default purchaseRoutes

function isRetry(request: { headers: IncomingHttpHeaders }): boolean {
  return request.headers['x-purchase-retry'] === '1'
}
