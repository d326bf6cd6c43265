import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'

import { operatorOf } from '../../../plugins/operators.ts'
import { refuse } from '../../../refusals.ts'
import { SaleParams, readSaleId } from '../../../schemas/identifiers.ts'

/** The figures of a sale as they come: server-sent events. */
const liveRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { operators, sessions } = app.core
  const { sales, live, marks } = operators
  app.addHook('preClose', (done) => {
    live.drain()
    done()
  })

  app.get(
    '/sales/:saleId/events',
    // HEAD would open a stream that nobody listens to.
    { exposeHeadRoute: false, schema: { params: SaleParams } },
    async (request, reply) => {
      const saleId = readSaleId(request.params.saleId)
      if (!saleId || !(await sales.find(saleId))) return refuse(reply, { code: 'not-found' })
      const { userId } = operatorOf(request)
      const { sessionId } = request.session
      const stream = await live.open({
        saleId,
        // Watching is not working: the mark ages meanwhile.
        mayWatch: async () =>
          (await sessions.read(sessionId)) !== undefined &&
          (await marks.isSet(sessionId, userId)) &&
          (await operators.find(userId)) !== undefined,
      })
      if ('code' in stream) return refuse(reply, stream)
      // Also when the browser is gone before anything was sent.
      reply.raw.once('close', () => stream.destroy())
      if (reply.raw.closed) stream.destroy()
      return reply.type('text/event-stream').header('x-accel-buffering', 'no').send(stream)
    },
  )
}

export default liveRoutes
