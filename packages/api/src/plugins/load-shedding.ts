import underPressure from '@fastify/under-pressure'
import type { RouteOptions } from 'fastify'
import fp from 'fastify-plugin'

import type { ApiConfig } from '../config.ts'
import { refuse } from '../refusals.ts'

/** What requests are for, in the order in which they are given up. */
const KINDS = ['browsing', 'login', 'purchase'] as const
type Kind = (typeof KINDS)[number]

declare module 'fastify' {
  interface FastifyContextConfig {
    kind?: Kind
  }
}

type Thresholds = Pick<
  ApiConfig,
  'SHED_BROWSING_DELAY_MS' | 'SHED_LOGINS_DELAY_MS' | 'SHED_PURCHASES_DELAY_MS'
>

const SAMPLE_MS = 250
/** Not all of those who were refused in one moment come back in one moment. */
const RETRY_AFTER_MS = { min: 1_000, max: 2_000 }

/**
 * Whoever reads is browsing and whoever writes is buying, except for these: somebody who logs in, and a buyer who
 * waits for an order or shows to be a person.
 */
const LOGINS = /\/(?:login|register|auth\/login|auth\/register|auth\/captchas)$/
const READS_OF_BUYERS = /\/(?:orders\/:orderId(?:\/events)?|sales\/:\w+\/(?:viewer|check))$|\/sandbox/

/**
 * Gives up requests while the event loop is late: browsing first, then new logins, purchases and payments last.
 *
 * By the delay, not by how busy the process is: at its peak a process is always busy, and refusing somebody then
 * would only make it less useful. A refusal comes before session and body. While nothing is given up a request pays
 * one comparison for all this.
 */
export default fp<{ thresholds: Thresholds }>(
  async (app, { thresholds }) => {
    const delaysMs = [
      thresholds.SHED_BROWSING_DELAY_MS,
      thresholds.SHED_LOGINS_DELAY_MS,
      thresholds.SHED_PURCHASES_DELAY_MS,
    ]
    // Without limits of its own: its hook would build an object for every request.
    await app.register(underPressure, { sampleInterval: SAMPLE_MS })
    /** How many of the kinds are given up now. */
    let givenUp = 0

    const sample = setInterval(() => {
      const { eventLoopDelay } = app.memoryUsage()
      // Nothing was measured since the last look, as in a process' first moment: that says nothing.
      if (!Number.isFinite(eventLoopDelay)) return
      const now = delaysMs.filter((delayMs) => eventLoopDelay > delayMs).length
      if (now !== givenUp) {
        const told = { delayMs: Math.round(eventLoopDelay), refused: KINDS.slice(0, now) }
        if (now > givenUp) app.log.warn(told, 'the event loop is late; refusing requests')
        else app.log.info(told, 'the event loop is less late')
      }
      givenUp = now
    }, SAMPLE_MS)
    sample.unref()

    app.addHook('onRoute', (route) => {
      route.config = { ...route.config, kind: route.config?.kind ?? kindOf(route) }
    })
    app.addHook('onRequest', (request, reply, done) => {
      if (givenUp === 0) return done()
      const { kind = 'browsing' } = request.routeOptions.config
      if (KINDS.indexOf(kind) >= givenUp) return done()
      const { min, max } = RETRY_AFTER_MS
      refuse(reply, { code: 'overloaded', retryAfterMs: Math.round(min + Math.random() * (max - min)) })
    })
    app.addHook('onClose', (_app, done) => {
      clearInterval(sample)
      done()
    })
  },
  { name: 'load-shedding' },
)

function kindOf({ method, url }: Pick<RouteOptions, 'method' | 'url'>): Kind {
  if (LOGINS.test(url)) return 'login'
  const isRead = [method].flat().every((one) => one === 'GET' || one === 'HEAD')
  return isRead && !READS_OF_BUYERS.test(url) ? 'browsing' : 'purchase'
}
