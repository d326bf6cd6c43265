import { CHECK_AHEAD_MS } from '@blitzbuy/core/gate/human-check'
import type { PlacedOrder } from '@blitzbuy/core/order/orders'
import type { QueuedOrder } from '@blitzbuy/core/order/read-order'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

import { requireAccount } from '../../plugins/session.ts'
import { refuse, type RefusalCode } from '../../refusals.ts'
import { OrderParams, SaleParams, readSaleId } from '../../schemas/identifiers.ts'
import { OrderAnswer, OrderListAnswer, PaymentAnswer, toOrderAnswer } from '../../schemas/orders.ts'
import { ViewerAnswer } from '../../schemas/sales.ts'
import { viewerState } from '../../viewer-state.ts'

const PAGE = 20

/** Why an order in this state cannot be paid. */
export const UNPAYABLE: Record<
  Exclude<PlacedOrder['state'] | QueuedOrder['state'], 'awaiting_payment' | 'paid'>,
  RefusalCode
> = {
  queued: 'order-queued',
  cancelled: 'order-cancelled',
  expired: 'order-expired',
  rejected: 'order-rejected',
}

/** What a shopper has: where they stand in a sale, one order, all orders, paying, cancelling. */
const orderRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { orders, readOrder, payments, orderPageUrl, cancelOrder, saleViews, tokenPlaces, clock } = app.core
  app.addHook('onSend', (_request, reply, _payload, done) => {
    reply.header('cache-control', 'no-store')
    done()
  })

  app.get(
    '/sales/:saleId/viewer',
    // Who is on the blacklist is told so, as the page tells them.
    { config: { isOpenToBlocked: true }, schema: { params: SaleParams, response: { 200: ViewerAnswer } } },
    async (request, reply) => {
      const saleId = readSaleId(request.params.saleId)
      const sale = saleId && (await saleViews.find(saleId))
      if (!sale) return refuse(reply, { code: 'not-found' })
      const account = requireAccount(request, reply)
      if (!account) return reply
      const isBlocked = app.isBlocked(request)
      const [order, { kind: token, ...tokenDetails }] = await Promise.all([
        readOrder.liveIn(sale.saleId, account.userId),
        isBlocked ? { kind: 'none' as const } : tokenPlaces.find(sale, account.userId),
      ])
      return {
        viewerState: viewerState(
          { ...sale, checkOpensAtMs: sale.opensAtMs - CHECK_AHEAD_MS },
          { isLoggedIn: true, isBlocked, hasToken: token === 'held', orderState: order?.state },
        ),
        ...(order && { orderId: order.orderId }),
        token,
        ...tokenDetails,
        nowMs: clock.nowMs(),
      }
    },
  )

  app.get(
    '/orders',
    {
      config: { isOpenToBlocked: true },
      schema: {
        querystring: Type.Object(
          { cursor: Type.Optional(Type.String({ maxLength: 64 })) },
          { additionalProperties: false },
        ),
        response: { 200: OrderListAnswer },
      },
    },
    async (request, reply) => {
      const account = requireAccount(request, reply)
      if (!account) return reply
      const page = await orders.listOf(account.userId, request.query.cursor, PAGE)
      return {
        orders: page.orders.map(toOrderAnswer),
        ...(page.nextCursor !== undefined && { nextCursor: page.nextCursor }),
      }
    },
  )

  app.get(
    '/orders/:orderId',
    { config: { isOpenToBlocked: true }, schema: { params: OrderParams, response: { 200: OrderAnswer } } },
    async (request, reply) => {
      const account = requireAccount(request, reply)
      if (!account) return reply
      const order = await readOrder.own(request.params.orderId, account.userId)
      return order ? toOrderAnswer(order) : refuse(reply, { code: 'not-found' })
    },
  )

  app.post(
    '/orders/:orderId/payments',
    { schema: { params: OrderParams, response: { 200: OrderAnswer, 201: PaymentAnswer } } },
    async (request, reply) => {
      const account = requireAccount(request, reply)
      if (!account) return reply
      const { orderId } = request.params
      if (!readOrder.isOwn(orderId, account.userId)) return refuse(reply, { code: 'not-found' })

      // Where it stands is asked only of who cannot pay: most can, and wait for a store once less.
      const outcome = await payments?.start(orderId, orderPageUrl(orderId))
      if (outcome?.kind === 'started') {
        const { paymentId, paymentUrl } = outcome
        return reply.code(201).send({ paymentId, paymentUrl })
      }
      const order = await readOrder.own(orderId, account.userId)
      if (!order) return refuse(reply, { code: 'not-found' })
      if (order.state === 'paid') return toOrderAnswer(order)
      if (order.state !== 'awaiting_payment') return refuse(reply, { code: UNPAYABLE[order.state] })
      if (!payments) return refuse(reply, { code: 'payments-unavailable' })
      // It was placed a moment ago.
      return refuse(reply, { code: 'order-queued' })
    },
  )

  app.post(
    '/orders/:orderId/cancellation',
    { schema: { params: OrderParams, response: { 200: OrderAnswer } } },
    async (request, reply) => {
      const account = requireAccount(request, reply)
      if (!account) return reply
      const order = await readOrder.own(request.params.orderId, account.userId)
      if (!order) return refuse(reply, { code: 'not-found' })
      if (order.state === 'queued') return refuse(reply, { code: 'order-queued' })

      const state = await cancelOrder({ ...order, userId: account.userId })
      switch (state) {
        case 'cancelled': {
          const after = await orders.find(order.orderId)
          return after ? toOrderAnswer(after) : refuse(reply, { code: 'internal' })
        }
        case 'paid':
          return refuse(reply, { code: 'order-paid' })
        case 'expired':
        case 'rejected':
          return refuse(reply, { code: UNPAYABLE[state] })
        case 'awaiting_payment':
          return refuse(reply, { code: 'internal' })
      }
    },
  )
}

export default orderRoutes
