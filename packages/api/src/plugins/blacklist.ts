import { parsePhone, type Region } from '@blitzbuy/core/user/phone'
import type { FastifyReply, FastifyRequest, onRequestHookHandler, preHandlerHookHandler } from 'fastify'
import fp from 'fastify-plugin'

import { refuse } from '../refusals.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whoever is on the blacklist may still call it. */
    isOpenToBlocked?: boolean
  }
  interface FastifyInstance {
    /** Each answers whether the request may go on; if not, the refusal has been sent. No trip. */
    admitAddress(request: FastifyRequest, reply: FastifyReply): boolean
    admitUser(userId: number, reply: FastifyReply): boolean
    /** Whether whoever is logged in may take part in nothing, from here or from anywhere. */
    isBlocked(request: FastifyRequest): boolean
    /** For routes whose body names a phone number: `{ preHandler: app.admitPhone }`. */
    admitPhone: preHandlerHookHandler
    /** For everything behind the session: see below. */
    admitVisitor: onRequestHookHandler
  }
}

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Keeps those on the blacklist out.
 *
 * A blocked user's session ends (see core's blocked-sessions.ts); until then it is good for nothing but reading their
 * orders and logging out. What they ordered before stands, and they cannot pay for it. From a blocked address nothing can be done, but pages and sales can be read.
 * Whoever reads a page anonymously is not asked: the blacklist is for those who act.
 */
export default fp(
  async (app) => {
    const { blacklist, metrics } = app.core

    /** Neither the reason nor the end: both would tell a bot's owner what to change. The reference finds the entry's case. */
    const refuseBlocked = (reply: FastifyReply, kind: 'user' | 'phone' | 'address'): false => {
      metrics.blacklistHit(kind)
      refuse(reply, { code: 'blocked' })
      return false
    }

    const admitAddress = (request: FastifyRequest, reply: FastifyReply): boolean => {
      const { address } = app.clientOf(request)
      return !address || !blacklist.findAddress(address) || refuseBlocked(reply, 'address')
    }
    const admitUser = (userId: number, reply: FastifyReply): boolean =>
      !blacklist.findUser(userId) || refuseBlocked(reply, 'user')

    app.decorate('admitAddress', admitAddress)
    app.decorate('admitUser', admitUser)
    app.decorate('isBlocked', (request) => {
      const { account } = request.session
      if (!account) return false
      const { address } = app.clientOf(request)
      return Boolean(blacklist.findUser(account.userId) ?? (address && blacklist.findAddress(address)))
    })

    app.decorate('admitVisitor', (request, reply, done) => {
      if (request.routeOptions.config.isOpenToBlocked) return done()
      const { account } = request.session
      const isRead = SAFE.has(request.method)
      if (isRead && !request.url.startsWith('/api/')) return done()
      if (account && !admitUser(account.userId, reply)) return
      if (!isRead && !admitAddress(request, reply)) return
      done()
    })

    app.decorate('admitPhone', (request, reply, done) => {
      const { phone, region } = (request.body ?? {}) as { phone?: unknown; region?: Region }
      const e164 = typeof phone === 'string' ? parsePhone(phone, region) : undefined
      if (e164 !== undefined && blacklist.findPhone(e164)) return void refuseBlocked(reply, 'phone')
      done()
    })
  },
  { name: 'blacklist', dependencies: ['core', 'client'] },
)
