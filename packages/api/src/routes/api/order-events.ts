import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'

import { hasSeen } from '../../order-streams.ts'
import { requireAccount } from '../../plugins/session.ts'
import { refuse } from '../../refusals.ts'
import { OrderParams } from '../../schemas/identifiers.ts'

/** News of one order as they come, until it can be paid for or is over: server-sent events. */
const orderEventRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { readOrder, orderStreams } = app.core
  // Before connections are ended: a browser whose stream ends asks another instance.
  app.addHook('preClose', (done) => {
    orderStreams.drain()
    done()
  })

  app.get(
    '/orders/:orderId/events',
    // HEAD would open a stream that nobody listens to.
    { exposeHeadRoute: false, config: { isOpenToBlocked: true }, schema: { params: OrderParams } },
    async (request, reply) => {
      const account = requireAccount(request, reply)
      if (!account) return reply
      const { orderId } = request.params
      const { userId } = account
      reply.header('cache-control', 'no-store')

      const first = await readOrder.own(orderId, userId)
      if (!first) return refuse(reply, { code: 'not-found' })
      // It is how a browser is told not to come back.
      if (hasSeen(request.headers['last-event-id'], first)) return reply.code(204).send()

      const stream = orderStreams.open({
        orderId,
        userId,
        sessionId: request.session.sessionId,
        sender: app.clientOf(request).sender,
      })
      if ('code' in stream) return refuse(reply, stream)
      // Also when the browser is gone before anything was sent.
      reply.raw.once('close', () => stream.end())
      if (reply.raw.closed) stream.end()
      // Read again: it may have been decided between the first reading and the opening.
      const order = first.state === 'queued' ? await readOrder.own(orderId, userId).catch(() => first) : first
      stream.tell(order ?? first)
      return reply
        .type('text/event-stream')
        .header('cache-control', 'no-store')
        .header('x-accel-buffering', 'no')
        .send(stream.body)
    },
  )
}

export default orderEventRoutes
