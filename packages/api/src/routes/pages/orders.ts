import type { PlacedOrder } from '@blitzbuy/core/order/orders'
import type { QueuedOrder } from '@blitzbuy/core/order/read-order'
import { readUnproved } from '@blitzbuy/core/reservation/order-id'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'

import type { Language, TextKey } from '../../messages/language.ts'
import { refuse } from '../../refusals.ts'
import { pollAfterMs } from '../../schemas/orders.ts'
import { requireLogin } from './require-login.ts'

interface OrderRoute {
  Params: { orderId: string }
}

const PAGE = 20
const REFRESH_SECONDS_MIN = 3
/** Set by the script of the pages: it asks by itself, and a reload in between would only take the place on the page away. */
const SCRIPT_COOKIES = ['__Host-blitz-script', 'blitz-script']

/** My orders, one order, paying and cancelling by forms. */
const orderPages: FastifyPluginAsync = async (app) => {
  const { orders, readOrder, payments, orderPageUrl, cancelOrder, saleViews, clock } = app.core

  app.get<{ Querystring: { cursor?: unknown } }>('/orders', async (request, reply) => {
    const account = requireLogin(request, reply, '/orders')
    if (!account) return reply
    const cursor = typeof request.query.cursor === 'string' ? request.query.cursor : undefined
    const page = await orders.listOf(account.userId, cursor, PAGE)
    return reply.page('orders', {
      title: request.language.text('orders.title'),
      orders: page.orders,
      nextCursor: page.nextCursor,
      isFirstPage: cursor === undefined,
    })
  })

  app.get<OrderRoute>('/orders/:orderId', async (request, reply) => {
    const { orderId } = request.params
    const account = requireLogin(request, reply, `/orders/${orderId}`)
    if (!account) return reply
    const order = await readOrder.own(orderId, account.userId)
    if (!order) return refuse(reply, { code: 'not-found' })
    const sale = await saleViews.find(order.saleId)

    return reply.page('order', {
      title: request.language.text(`order.headline.${order.state}`),
      order,
      sale,
      text: explain(order, request.language),
      moneyTexts: moneyTexts(order, request.language),
      steps: timelineOf(order, request.language),
      nowMs: clock.nowMs(),
      hasClientTexts: true,
      isPaying: order.state === 'awaiting_payment' && order.payment?.state === 'started',
      ...(order.state === 'queued' && waiting(request, order)),
    })
  })

  app.post<OrderRoute>('/orders/:orderId/pay', { config: { needsLogin: true } }, async (request, reply) => {
    const { orderId } = request.params
    const account = requireLogin(request, reply, `/orders/${orderId}`)
    if (!account) return reply
    const order = await readOrder.own(orderId, account.userId)
    if (!order) return refuse(reply, { code: 'not-found' })
    if (order.state === 'awaiting_payment') {
      if (!payments) return refuse(reply, { code: 'payments-unavailable' })
      const outcome = await payments.start(orderId, orderPageUrl(orderId))
      if (outcome.kind === 'started') return reply.redirect(outcome.paymentUrl, 303)
    }
    // Paid before, or ended meanwhile: the order's page says which.
    return reply.redirect(`/orders/${orderId}`, 303)
  })

  app.post<OrderRoute>(
    '/orders/:orderId/cancel',
    { config: { needsLogin: true } },
    async (request, reply) => {
      const { orderId } = request.params
      const account = requireLogin(request, reply, `/orders/${orderId}`)
      if (!account) return reply
      const order = await readOrder.own(orderId, account.userId)
      if (!order) return refuse(reply, { code: 'not-found' })
      if (order.state === 'awaiting_payment') await cancelOrder({ ...order, userId: account.userId })
      // Cancelled, or paid or expired meanwhile: the order's page says which.
      return reply.redirect(`/orders/${orderId}`, 303)
    },
  )
}

export default orderPages

function explain(order: QueuedOrder | PlacedOrder, { text, count }: Language): string {
  switch (order.state) {
    case 'queued':
      return order.queuedCount > 1
        ? text('order.text.queued', { n: count(order.queuedCount - 1) })
        : text('order.text.queued-first')
    case 'rejected':
      return text('order.text.rejected', { reason: text(reasonKey(order.reason)) })
    case 'awaiting_payment':
    case 'paid':
    case 'cancelled':
    case 'expired':
      return text(`order.text.${order.state}`)
  }
}

/** What became of the buyer's money. */
function moneyTexts(order: QueuedOrder | PlacedOrder, { text, money }: Language): string[] {
  if (order.state === 'queued' || order.state === 'rejected') return []
  const texts = order.refunds.map(({ state, cause, amountCents, currency }) =>
    text(`order.refund.${state}.${cause}`, { amount: money(amountCents, currency) }),
  )
  const hasEnded = order.state === 'cancelled' || order.state === 'expired'
  if (hasEnded && texts.length === 0) texts.push(text('order.nothing-charged'))
  if (order.state === 'awaiting_payment' && order.payment && order.payment.state !== 'succeeded') {
    texts.push(text(`order.payment.${order.payment.state}`))
  }
  return texts
}

function reasonKey(reason: string | undefined): TextKey {
  switch (reason) {
    case 'sold-out':
    case 'duplicate':
    case 'unknown-sale':
    case 'lost':
      return `order.reason.${reason}`
    default:
      return 'order.reason.other'
  }
}

/** The more orders wait, the longer a page without the script waits before it loads again. */
function waiting(request: FastifyRequest, { queuedCount }: QueuedOrder) {
  const askAfterMs = pollAfterMs(queuedCount)
  const refreshSeconds = Math.max(REFRESH_SECONDS_MIN, Math.ceil(askAfterMs / 1000))
  const hasScript = SCRIPT_COOKIES.some((name) => request.cookies[name] === '1')
  return { pollAfterMs: askAfterMs, ...(!hasScript && { refreshSeconds }) }
}

interface Step {
  text: string
  atMs?: number | undefined
  progress: 'done' | 'current' | 'ahead' | 'failed'
}

function timelineOf(order: QueuedOrder | PlacedOrder, { text }: Language): Step[] {
  const step = (key: TextKey, progress: Step['progress'], atMs?: number): Step => ({
    text: text(key),
    progress,
    atMs,
  })
  const sent = step('order.step.sent', 'done', readUnproved(order.orderId)?.mintedAtMs)
  if (order.state === 'queued')
    return [sent, step('order.step.placing', 'current'), step('order.step.pay', 'ahead')]
  if (order.state === 'rejected') return [sent, step('order.step.rejected', 'failed', order.placedAtMs)]

  const placed = step('order.step.placed', 'done', order.placedAtMs)
  switch (order.state) {
    case 'awaiting_payment':
      return [sent, placed, step('order.step.pay', 'current'), step('order.step.paid', 'ahead')]
    case 'paid':
      return [sent, placed, step('order.step.paid', 'done', order.paidAtMs)]
    case 'cancelled':
      return [sent, placed, step('order.step.cancelled', 'failed', order.endedAtMs)]
    case 'expired':
      return [sent, placed, step('order.step.expired', 'failed', order.endedAtMs)]
  }
}
