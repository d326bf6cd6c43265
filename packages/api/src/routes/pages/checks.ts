import { userSubject } from '@blitzbuy/core/gate/blacklist-subject'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'

import { refusalOfCheck, type CheckRefusal } from '../../check-answers.ts'
import { REFUSALS, refuse } from '../../refusals.ts'
import type { SaleView } from '../../sale-views.ts'
import { readSaleId } from '../../schemas/identifiers.ts'
import { readField } from './form-fields.ts'
import { noticeQuery } from './notices.ts'
import { requireLogin } from './require-login.ts'

interface CheckRoute {
  Params: { saleId: string }
}

/** Carries the purchase token where no script can hold it; sent to its sale's pages only. */
const TOKEN_COOKIE = 'blitz-token'
/** Over https. Not `__Host-`, which would send it to every page. */
const SECURE_TOKEN_COOKIE = `__Secure-${TOKEN_COOKIE}`

export function readTokenCookie({ cookies }: FastifyRequest): string | undefined {
  return cookies[SECURE_TOKEN_COOKIE] ?? cookies[TOKEN_COOKIE]
}

/** The human check for browsers without our script: a page with the picture, and a form for the answer. */
const checkPages: FastifyPluginAsync<{ publicOrigin: string }> = async (app, { publicOrigin }) => {
  const { humanCheck, strikes, tokenPlaces, saleViews, clock } = app.core
  const isHttps = publicOrigin.startsWith('https:')

  app.get<CheckRoute>('/sales/:saleId/check', { onRequest: app.limits.challenge }, async (request, reply) => {
    const sale = await findSale(request.params.saleId)
    if (!sale) return refuse(reply, { code: 'not-found' })
    const account = requireLogin(request, reply, `/sales/${sale.saleId}`)
    if (!account) return reply
    const place = await tokenPlaces.find(sale, account.userId)
    if (place.kind === 'held') return reply.redirect(`/sales/${sale.saleId}`, 303)
    return showPicture(request, reply, sale, account.userId)
  })

  const guarded = { onRequest: app.limits.challenge, config: { needsLogin: true } }
  app.post<CheckRoute>('/sales/:saleId/check', guarded, async (request, reply) => {
    const sale = await findSale(request.params.saleId)
    if (!sale) return refuse(reply, { code: 'not-found' })
    const account = requireLogin(request, reply, `/sales/${sale.saleId}`)
    if (!account) return reply

    const person = { userId: account.userId, sessionId: request.session.sessionId }
    const captchaId = readField(request.body, 'captchaId')
    const outcome = await humanCheck.answer(sale, person, captchaId, readField(request.body, 'answer'))
    switch (outcome.kind) {
      case 'held':
        return reply
          .setCookie(isHttps ? SECURE_TOKEN_COOKIE : TOKEN_COOKIE, outcome.purchaseToken, {
            path: `/sales/${sale.saleId}`,
            httpOnly: true,
            sameSite: 'lax',
            secure: isHttps,
            maxAge: Math.ceil((outcome.expiresAtMs - clock.nowMs()) / 1000),
          })
          .redirect(`/sales/${sale.saleId}`, 303)
      case 'incorrect':
        void strikes.record('captcha-wrong', userSubject(account.userId))
        return showPicture(request, reply, sale, account.userId, 'captcha-incorrect')
      case 'expired':
        return showPicture(request, reply, sale, account.userId, 'captcha-expired')
      default:
        return toSale(reply, sale, outcome)
    }
  })

  async function findSale(text: string): Promise<SaleView | undefined> {
    const saleId = readSaleId(text)
    return saleId ? saleViews.find(saleId) : undefined
  }

  /** A new picture each time: every one has a single try. */
  async function showPicture(
    request: FastifyRequest,
    reply: FastifyReply,
    sale: SaleView,
    userId: number,
    problem?: 'captcha-incorrect' | 'captcha-expired',
  ) {
    const person = { userId, sessionId: request.session.sessionId }
    const outcome = await humanCheck.challenge(sale, person, 'image')
    if (outcome.kind === 'work') return refuse(reply, { code: 'internal' })
    if (outcome.kind !== 'image') return toSale(reply, sale, outcome)
    const { text: t } = request.language
    const title = t('check.title')
    return reply.code(problem ? REFUSALS[problem].status : 200).page('check', {
      title: problem ? t('form.error-prefix', { title }) : title,
      sale,
      captchaId: outcome.captchaId,
      image: outcome.image,
      problem: problem && { text: t(`refusal.${problem}`) },
    })
  }

  function toSale(reply: FastifyReply, sale: SaleView, outcome: CheckRefusal) {
    const refusal = refusalOfCheck(outcome, sale.opensAtMs, clock.nowMs())
    return reply.redirect(`/sales/${sale.saleId}?${noticeQuery(refusal)}`, 303)
  }
}

export default checkPages
