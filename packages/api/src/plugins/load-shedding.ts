import type { IncomingMessage } from 'node:http'

import underPressure from '@fastify/under-pressure'
import type { PoolFigures } from '@blitzbuy/core/mysql/connect-mysql'
import type { RouteOptions } from 'fastify'
import fp from 'fastify-plugin'

import type { ApiConfig } from '../config.ts'
import { refuse } from '../refusals.ts'
import { createReturnTimes, type ReturnTimes } from '../return-times.ts'

/** What requests are for, in the order in which they are given up. */
const KINDS = ['browsing', 'login', 'purchase'] as const
type Kind = (typeof KINDS)[number]

declare module 'fastify' {
  interface FastifyContextConfig {
    kind?: Kind
  }
  interface FastifyInstance {
    /**
     * Whether this request, which is of that kind, is given up, and after how many ms it may come again. For who must
     * know before the hooks: they do not ask again.
     */
    givesUp(request: IncomingMessage, kind: Kind): number | undefined
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
 * Who browses now wants to pay in a moment. So while the first in the line for a MySQL connection has waited for longer
 * than `from`, a share of those who are new is given up, all of them at `all`, before those must be refused who want to pay.
 */
const LINE_MS: Record<Kind, { from: number; all: number }> = {
  browsing: { from: 200, all: 420 },
  login: { from: 300, all: 440 },
  purchase: { from: Infinity, all: Infinity },
}
/** How much the newest look at the line counts in the mean. */
const LINE_WEIGHT = 0.3

/**
 * Whoever reads is browsing and whoever writes is buying, except for these: somebody who logs in, and a buyer who
 * waits for an order or shows to be a person.
 */
const LOGINS = /\/(?:login|register|auth\/login|auth\/register|auth\/captchas)$/
const READS_OF_BUYERS = /\/(?:orders\/:orderId(?:\/events)?|sales\/:\w+\/(?:viewer|check))$|\/sandbox/

/**
 * Gives up requests while there is too much to do: browsing first, then new logins, purchases and payments last. That is
 * while the event loop is late, and for those who are new also while the line for MySQL is long.
 *
 * By the delay, not by how busy the process is: at its peak a process is always busy, and refusing somebody then
 * would only make it less useful. Of each kind only as large a share is refused as it takes: all at once, and the loop
 * would be idle a moment later. A refusal comes before session and body. While nothing is given up a request pays one
 * comparison for all this.
 */
export default fp<{ thresholds: Thresholds; mysqlPool: Pick<PoolFigures, 'lineMs'> }>(
  async (app, { thresholds, mysqlPool }) => {
    const delaysMs = [
      thresholds.SHED_BROWSING_DELAY_MS,
      thresholds.SHED_LOGINS_DELAY_MS,
      thresholds.SHED_PURCHASES_DELAY_MS,
    ]
    // Without limits of its own: its hook would build an object for every request.
    await app.register(underPressure, { sampleInterval: SAMPLE_MS })
    /** What part of each kind is given up now. */
    const shares = KINDS.map(() => 0)
    /** What part of each kind the lateness of the event loop alone would have given up. */
    const lateShares = KINDS.map(() => 0)
    let meanLineMs = 0
    const returns = KINDS.map(() => createReturnTimes())
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
      meanLineMs += (mysqlPool.lineMs() - meanLineMs) * LINE_WEIGHT
      for (const [at, kind] of KINDS.entries()) {
        const isLate = eventLoopDelay > (delaysMs[at] ?? Infinity)
        const late = (lateShares[at] ?? 0) + seconds * (isLate ? SHARE_PER_SECOND.up : -SHARE_PER_SECOND.down)
        lateShares[at] = Math.min(1, Math.max(0, late))
        const { from, all } = LINE_MS[kind]
        const lined = meanLineMs > from ? Math.min(1, (meanLineMs - from) / (all - from)) : 0
        shares[at] = Math.max(lateShares[at] ?? 0, lined)
        returns[at]?.look(seconds)
      }
      const now = shares.filter((share) => share > 0).length
      if (now !== givenUp) {
        const told = {
          delayMs: Math.round(eventLoopDelay),
          lineMs: Math.round(meanLineMs),
          refused: KINDS.slice(0, now),
        }
        if (now > givenUp) app.log.warn(told, 'too much to do; refusing requests')
        else app.log.info(told, 'less to do; refusing fewer kinds of requests')
      }
      givenUp = now
    }, SAMPLE_MS)
    sample.unref()

    app.addHook('onRoute', (route) => {
      route.config = { ...route.config, kind: route.config?.kind ?? kindOf(route) }
    })
    const giveUp = (kind: Kind): number | undefined => {
      const at = KINDS.indexOf(kind)
      const times = returns[at] as ReturnTimes
      if (Math.random() < (shares[at] ?? 0)) return times.next()
      times.served()
      return undefined
    }
    const letPass = new WeakSet<IncomingMessage>()
    app.decorate('givesUp', (request, kind) => {
      letPass.add(request)
      return givenUp === 0 ? undefined : giveUp(kind)
    })
    app.addHook('onRequest', (request, reply, done) => {
      if (givenUp === 0 || letPass.has(request.raw)) return done()
      const retryAfterMs = giveUp(request.routeOptions.config.kind ?? 'browsing')
      if (retryAfterMs === undefined) done()
      else refuse(reply, { code: 'overloaded', retryAfterMs })
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
