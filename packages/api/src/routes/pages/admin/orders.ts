import type { OrderStory } from '@blitzbuy/core/order/order-story'
import type { FastifyPluginAsync } from 'fastify'

import { refuse } from '../../../refusals.ts'
import { readSaleId } from '../../../schemas/identifiers.ts'
import { showPage, type FormProblem } from './show-page.ts'

interface OrderRoute {
  Params: { orderId: string }
}

const LISTED_MAX = 100
const ORDER_ID = /^[0-9A-HJKMNP-TV-Z]{26}$/

/** Orders by id, by phone number or by account, and the story of one. */
const orderPages: FastifyPluginAsync = async (app) => {
  const { orderStories } = app.core.operators

  app.get<{ Querystring: { find?: unknown } }>('/orders', async (request, reply) => {
    const { find } = request.query
    const asked = typeof find === 'string' ? find.trim() : ''
    if (ORDER_ID.test(asked.toUpperCase())) return reply.redirect(`/admin/orders/${asked.toUpperCase()}`, 303)
    const { userId, problems } = await findBuyer(asked)
    return showPage(reply, 'orders', {
      title: 'Orders',
      area: 'orders',
      asked,
      problems,
      userId,
      orders: problems.length > 0 ? [] : await orderStories.list({ userId }, LISTED_MAX),
      listedMax: LISTED_MAX,
    })
  })

  app.get<OrderRoute>('/orders/:orderId', async (request, reply) => {
    const order = await orderStories.find(request.params.orderId)
    if (!order) return refuse(reply, { code: 'not-found' })
    return showPage(reply, 'order', {
      title: `Order ${order.orderId}`,
      area: 'orders',
      order,
      steps: stepsOf(order),
    })
  })

  async function findBuyer(asked: string): Promise<{ userId?: number; problems: FormProblem[] }> {
    if (asked === '') return { problems: [] }
    const account = /^#(\d{1,10})$/.exec(asked)
    const userId = account ? readSaleId(account[1] ?? '') : await orderStories.findUserByPhone(asked)
    if (userId !== undefined) return { userId, problems: [] }
    const message = 'nobody has this phone number; an order id has 26 characters, an account is written #7'
    return { problems: [{ field: 'find', message }] }
  }
}

export default orderPages

interface Step {
  atMs: number
  text: string
  kind: 'done' | 'wait' | 'bad'
}

/** What happened to an order, in the order in which it happened. */
function stepsOf(order: OrderStory): Step[] {
  const { state, reason } = order
  const steps: Step[] = [{ atMs: order.reservedAtMs, text: 'Units reserved in Redis', kind: 'done' }]
  if (state !== 'rejected')
    steps.push({ atMs: order.placedAtMs, text: 'Order placed in MySQL', kind: 'done' })
  for (const payment of order.payments) {
    const captured =
      payment.capturedCents === undefined
        ? ''
        : `, ${payment.capturedCurrency} ${payment.capturedCents} in minor units captured`
    steps.push({
      atMs: payment.createdAtMs,
      text: `Payment ${payment.paymentId} begun with ${payment.provider}; it is ${payment.state.replace('_', ' ')}${captured}`,
      kind: payment.state === 'failed' ? 'bad' : payment.state === 'refund_due' ? 'wait' : 'done',
    })
  }
  if (order.paidAtMs !== undefined) steps.push({ atMs: order.paidAtMs, text: 'Paid', kind: 'done' })
  if (order.endedAtMs !== undefined) {
    const why = reason === undefined ? '' : `: ${reason}`
    steps.push({ atMs: order.endedAtMs, text: `Ended as ${state}${why}`, kind: 'bad' })
  }
  if (state === 'awaiting_payment' && order.payBeforeMs !== undefined)
    steps.push({ atMs: order.payBeforeMs, text: 'Ends unless it is paid by then', kind: 'wait' })
  return steps.toSorted((one, other) => one.atMs - other.atMs)
}
