import { StoreAway } from '@blitzbuy/core/errors'
import { CHECK_AHEAD_MS } from '@blitzbuy/core/gate/human-check'
import type { PurchaseOutcome } from '@blitzbuy/core/order/purchase'
import type { SalePhase } from '@blitzbuy/core/sale/sale-phase'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'

import { refusalOfPurchase } from '../../purchase-answers.ts'
import { refuse, type Refusal, type RefusalCode } from '../../refusals.ts'
import { SALE_CONTROLS } from '../../sale-controls.ts'
import type { SaleView } from '../../sale-views.ts'
import { readSaleId } from '../../schemas/identifiers.ts'
import { viewerState, type ViewerState } from '../../viewer-state.ts'
import { readTokenCookie } from './checks.ts'
import { readField } from './form-fields.ts'
import { noticeQuery, noticeText } from './notices.ts'
import { requireLogin } from './require-login.ts'

interface SaleRoute {
  Params: { saleId: string }
  Querystring: Record<string, unknown>
}

/** What a shopper came for stands first. */
const PHASES_IN_ORDER: readonly SalePhase[] = ['open', 'upcoming', 'sold_out', 'paused', 'ended']
const QUANTITY_CHOICES_MAX = 10
/** How often a sale page asks how far the sale is. */
const POLL_AFTER_MS = 2_000
const LOOK_AGAIN_SECONDS = 3
/** By then a purchase whose answer was lost is either in Redis or never will be: Redis refuses it by its deadline. */
const DECIDED_AFTER_MS = 5_000

/** The sale list, one sale, and buying by a form. */
const salePages: FastifyPluginAsync = async (app) => {
  const { saleViews, readOrder, purchaseTokens, tokenPlaces, purchase, flags, clock, metrics } = app.core

  app.get('/', async (request, reply) => {
    if (isShared(request)) return reply.sharedPage('sales', () => listContent(request))
    return reply.page('sales', await listContent(request))
  })

  async function listContent({ language }: FastifyRequest) {
    const sales = await saleViews.list()
    const groups = PHASES_IN_ORDER.map((phase) => ({
      phase,
      sales: sales.filter((sale) => sale.phase === phase),
    }))
    return {
      title: language.text('list.title'),
      groups: groups.filter((group) => group.sales.length > 0),
      nowMs: clock.nowMs(),
      hasClientTexts: true,
    }
  }

  app.get<SaleRoute>('/sales/:saleId', async (request, reply) => {
    const sale = await findSale(request.params.saleId)
    if (!sale) return refuse(reply, { code: 'not-found' })
    if (isShared(request)) return reply.sharedPage('sale', async () => saleContent(request, sale))
    return reply.page('sale', await saleContent(request, sale))
  })

  async function saleContent(request: FastifyRequest<SaleRoute>, sale: SaleView) {
    const { account } = request.session
    const { text, moment, time } = request.language
    const [order, place] = account
      ? await Promise.all([
          readOrder.liveIn(sale.saleId, account.userId),
          tokenPlaces.find(sale, account.userId),
        ])
      : []
    const token = place?.kind === 'held' ? place : undefined
    const nowMs = clock.nowMs()
    const state = viewerState(
      { ...sale, checkOpensAtMs: sale.opensAtMs - CHECK_AHEAD_MS, nowMs },
      {
        isLoggedIn: account !== undefined,
        isBlocked: app.isBlocked(request),
        hasToken: token !== undefined,
        orderState: order?.state,
      },
    )
    const { unitsMayReturnUntilMs: returnUntilMs } = sale
    const reason =
      state === 'sold_out' && returnUntilMs
        ? text('reason.sold_out-until', { time: time(returnUntilMs) })
        : text(`reason.${state}`, { time: moment(sale.opensAtMs), ref: request.id })

    return {
      title: sale.title,
      sale,
      state,
      controls: SALE_CONTROLS,
      reason,
      notice: noticeText(request.query, sale, text),
      isLoggedIn: account !== undefined,
      checkAheadMs: CHECK_AHEAD_MS,
      tokenExpiresAtMs: token?.expiresAtMs,
      // An order that has ended is none that the shopper could go to from here.
      orderId: order && ['queued', 'won', 'already_bought'].includes(state) ? order.orderId : undefined,
      quantities: Array.from(
        { length: Math.min(sale.unitsPerUser, QUANTITY_CHOICES_MAX) },
        (_, at) => at + 1,
      ),
      nowMs,
      pollAfterMs: POLL_AFTER_MS,
      hasClientTexts: true,
    }
  }

  app.post<SaleRoute>('/sales/:saleId/buy', { config: { needsLogin: true } }, async (request, reply) => {
    const sale = await findSale(request.params.saleId)
    if (!sale) return refuse(reply, { code: 'not-found' })
    const { saleId } = sale
    const buyer = requireLogin(request, reply, `/sales/${saleId}`)
    if (!buyer) return reply
    if (!app.limits.purchaseOfAddress(request, reply) || !app.limits.purchaseOfUser(buyer.userId, reply))
      return reply
    if (flags.isRaised(saleId) && !app.limits.retryOfUser(buyer.userId, reply)) return reply
    const quantity = readQuantity(readField(request.body, 'quantity'))
    if (quantity === undefined) return refuse(reply, { code: 'request-invalid' })

    const tokenIssuedAtMs = await findToken(request, sale, buyer.userId)
    if (typeof tokenIssuedAtMs === 'string') return reply.redirect(tokenIssuedAtMs, 303)

    // Past the sold-out flag: a form cannot say that it is the retry of a try whose answer was lost.
    const outcome = await tryToBuy({
      saleId,
      userId: buyer.userId,
      quantity,
      requestId: request.id,
      tokenIssuedAtMs,
    })
    switch (outcome.kind) {
      case 'reserved':
        metrics.purchase(saleId, 'reserved')
        return reply.redirect(`/orders/${outcome.orderId}`, 303)
      case 'already_ordered':
        metrics.purchase(saleId, 'already_reserved')
        return reply.redirect(`/orders/${outcome.order.orderId}`, 303)
      default: {
        const refusal = refusalOfPurchase(outcome, sale, clock.nowMs())
        metrics.purchaseRefused(saleId, refusal.code)
        return reply.redirect(pathAfter(refusal, saleId), 303)
      }
    }
  })

  /** Where a shopper waits whose try has an unknown outcome, until either the order is found or there can be none. */
  app.get<SaleRoute>('/sales/:saleId/confirming', async (request, reply) => {
    const sale = await findSale(request.params.saleId)
    if (!sale) return refuse(reply, { code: 'not-found' })
    const { saleId } = sale
    const buyer = requireLogin(request, reply, `/sales/${saleId}`)
    if (!buyer) return reply

    const order = await readOrder.liveIn(saleId, buyer.userId).catch(whenAway('unknown' as const))
    if (order && order !== 'unknown') return reply.redirect(`/orders/${order.orderId}`, 303)
    const sinceMs = Number(request.query['since'])
    const isDecided = !(clock.nowMs() - sinceMs < DECIDED_AFTER_MS)
    if (!order && isDecided) return reply.redirect(`/sales/${saleId}?notice=not-taken`, 303)

    return reply.page('confirming', {
      title: request.language.text('confirming.title'),
      sale,
      checkUrl: request.url,
      refreshSeconds: LOOK_AGAIN_SECONDS,
    })
  })

  async function findSale(text: string): Promise<SaleView | undefined> {
    const saleId = readSaleId(text)
    return saleId ? saleViews.find(saleId) : undefined
  }

  /**
   * When the token of this try was issued: that of the cookie, else the one that the buyer got on another device.
   * Without any, where the buyer has to go instead.
   */
  async function findToken(
    request: FastifyRequest,
    sale: SaleView,
    userId: number,
  ): Promise<number | string> {
    const { saleId } = sale
    const carried = purchaseTokens.read(readTokenCookie(request), saleId, userId, clock.nowMs())
    if (carried.kind === 'valid') return carried.issuedAtMs
    const [order, place] = await Promise.all([
      readOrder.liveIn(saleId, userId),
      tokenPlaces.find(sale, userId),
    ])
    if (order && isLive(order)) return `/orders/${order.orderId}`
    const held = place.kind === 'held' ? place.purchaseToken : undefined
    const token = purchaseTokens.read(held, saleId, userId, clock.nowMs())
    if (token.kind === 'valid') return token.issuedAtMs
    const notice = noticeOf(
      viewerState(
        { ...sale, checkOpensAtMs: sale.opensAtMs - CHECK_AHEAD_MS },
        { isLoggedIn: true, isBlocked: false, hasToken: token.kind === 'early' },
      ),
    )
    return notice ? `/sales/${saleId}?${noticeQuery({ code: notice })}` : `/sales/${saleId}/check`
  }

  /** A fault after the try was sent leaves its outcome open, exactly as a lost answer does. */
  function tryToBuy(request: Parameters<typeof purchase>[0]): Promise<PurchaseOutcome> {
    return purchase(request).catch(whenAway({ kind: 'outcome_unknown' }))
  }

  function pathAfter(refusal: Refusal, saleId: number): string {
    return refusal.code === 'outcome-unknown'
      ? `/sales/${saleId}/confirming?since=${clock.nowMs()}`
      : `/sales/${saleId}?${noticeQuery(refusal)}`
  }
}

export default salePages

/** Of nobody in particular, and not about an earlier try: the same for everybody who reads this language. */
function isShared({ session, query }: FastifyRequest): boolean {
  return !session.account && !session.away && Object.keys(query as object).length === 0
}

function isLive({ state }: { state: string }): boolean {
  return state === 'queued' || state === 'awaiting_payment' || state === 'paid'
}

/** Why the human check would be of no use now. */
function noticeOf(state: ViewerState): RefusalCode | undefined {
  switch (state) {
    case 'not_started':
    case 'ready':
      return 'sale-not-open'
    case 'sold_out':
      return 'sold-out'
    case 'paused':
      return 'sale-paused'
    case 'ended':
      return 'sale-closed'
    default:
      return undefined
  }
}

/** A form without the field asks for one unit; anything that is no number is no order. */
function readQuantity(text: string): number | undefined {
  if (text === '') return 1
  const quantity = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : undefined
  return quantity && quantity <= 65_535 ? quantity : undefined
}

function whenAway<T>(answer: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof StoreAway) return answer
    throw error
  }
}
