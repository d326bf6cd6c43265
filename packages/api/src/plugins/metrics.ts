import type { onSendHookHandler } from 'fastify'
import fp from 'fastify-plugin'

import type { RouteSeries } from '../api-metrics.ts'
import type { RefusalCode } from '../refusals.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A route of a sale whose answers are ends of tries to buy. */
    isPurchase?: boolean
    /** It only tells that its path has other methods. */
    isRefusal?: boolean
    series?: RouteSeries
  }
  interface FastifyRequest {
    beganAtMs: number
  }
  interface FastifyReply {
    /** The code of the refusal that was sent, for whoever counts them. */
    refusalCode: RefusalCode | undefined
  }
}

/**
 * Counts and times every answer.
 *
 * Each route has hooks of its own, made once with the route's series in hand: a request looks nothing up and makes no
 * object. An answer is timed when it is handed to the socket, so that no listener is needed for its end.
 */
export default fp(
  async (app) => {
    const { metrics } = app.core
    app.decorateRequest('beganAtMs', 0)
    app.decorateReply('refusalCode', undefined)

    app.addHook('onRequest', (request, _reply, done) => {
      request.beganAtMs = performance.now()
      metrics.requestBegan()
      done()
    })
    const unrouted = metrics.route('any', 'none')
    // An address without a route has no hooks of its own.
    app.addHook('onSend', (request, reply, _payload, done) => {
      if (request.is404) count(unrouted, request.beganAtMs, reply.statusCode)
      done()
    })
    app.addHook('onRoute', (route) => {
      const [method] = [route.method].flat()
      const series = route.config?.isRefusal ? unrouted : metrics.route(String(method), route.url)
      route.config = { ...route.config, series }
      const hooks = [timing(series)]
      if (route.config?.isPurchase) hooks.push(countTry)
      route.onSend = [route.onSend ?? [], ...hooks].flat()
    })

    function count(series: RouteSeries, beganAtMs: number, status: number): void {
      // A request so broken that no hook saw it begin.
      if (beganAtMs === 0) return
      metrics.requestEnded()
      series.answered(status, (performance.now() - beganAtMs) / 1000)
    }

    function timing(series: RouteSeries): onSendHookHandler {
      return (request, reply, _payload, done) => {
        count(series, request.beganAtMs, reply.statusCode)
        done()
      }
    }

    const countTry: onSendHookHandler = (request, reply, _payload, done) => {
      const saleId = Number((request.params as { saleId: string }).saleId)
      if (reply.statusCode === 202) metrics.purchase(saleId, 'reserved')
      else if (reply.statusCode === 200) metrics.purchase(saleId, 'already_reserved')
      else metrics.purchaseRefused(saleId, reply.refusalCode)
      done()
    }
  },
  { name: 'metrics', dependencies: ['core'] },
)
