import type { Span, Tracing } from '@blitzbuy/core/tracing/tracing'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

import type { PurchaseTraces } from '../purchase-traces.ts'

/**
 * A span for each request: method, route, status, request id, and nothing that a client wrote.
 *
 * Each begins a new trace. A `traceparent` of a client would let strangers choose which requests are kept, and write
 * into other people's traces.
 */
export default fp<{ tracing: Tracing; purchases: PurchaseTraces }>(
  async (app, { tracing, purchases }) => {
    const spans = new WeakMap<FastifyRequest, Span>()

    app.addHook('onRequest', (request, _reply, done) => {
      const { url: route, config } = request.routeOptions
      const isRouted = !request.is404 && !config.isRefusal && route !== undefined
      const span = tracing.beginTrace(isRouted ? `${request.method} ${route}` : request.method, {
        kind: 'server',
        attributes: {
          'http.request.method': request.method,
          ...(isRouted && { 'http.route': route }),
          'blitzbuy.request_id': request.id,
        },
      })
      if (span) {
        spans.set(request, span)
        if (config.isPurchase) purchases.began(request.id, span)
      }
      done()
    })
    // Also when the client is gone before its answer.
    app.addHook('onResponse', (request, reply, done) => {
      const span = spans.get(request)
      if (span) {
        const { statusCode } = reply
        purchases.ended(request.id)
        span.set({ 'http.response.status_code': statusCode })
        span.end(statusCode >= 500 ? (reply.refusalCode ?? String(statusCode)) : undefined)
      }
      done()
    })
  },
  { name: 'tracing', dependencies: ['metrics'] },
)
