import underPressure from '@fastify/under-pressure'
import type { RouteOptions } from 'fastify'
import fp from 'fastify-plugin'

import type { ApiConfig } from '../config.ts'
import { refuse, retryLaterMs } from '../refusals.ts'

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

const SAMPLE_MS = 100
/** By how much the share that is given up grows in a second in which the loop is too late, and shrinks in another. */
const SHARE_PER_SECOND = { up: 2, down: 0.5 }

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
 * would only make it less useful. Of each kind only as large a share is refused as it takes: all at once, and the loop
 * would be idle a moment later. A refusal comes before session and body. While nothing is given up a request pays one
 * comparison for all this.
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
    /** What part of each kind is given up now. */
    const shares = KINDS.map(() => 0)
    /** How many of the kinds that concerns: the first ones, because they are given up in order. */
    let givenUp = 0

    let lookedAtMs = performance.now()
    const sample = setInterval(() => {
      // A loop that is late comes by seldom, and must not be slow to give up for that.
      const seconds = (performance.now() - lookedAtMs) / 1_000
      lookedAtMs += seconds * 1_000
      const { eventLoopDelay } = app.memoryUsage()
      // Nothing was measured since the last look, as in a process' first moment: that says nothing.
      if (!Number.isFinite(eventLoopDelay)) return
      for (const [at, delayMs] of delaysMs.entries()) {
        const share =
          (shares[at] ?? 0) +
          seconds * (eventLoopDelay > delayMs ? SHARE_PER_SECOND.up : -SHARE_PER_SECOND.down)
        shares[at] = Math.min(1, Math.max(0, share))
      }
      const now = shares.filter((share) => share > 0).length
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
      if (Math.random() >= (shares[KINDS.indexOf(kind)] ?? 0)) return done()
      refuse(reply, { code: 'overloaded', retryAfterMs: retryLaterMs() })
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
