import fastifyRateLimit, { type FastifyRateLimitStore } from '@fastify/rate-limit'
import { StoreAway } from '@blitzbuy/core/errors'
import { networkSubject, userSubject, type Subject } from '@blitzbuy/core/gate/blacklist-subject'
import {
  createLocalBuckets,
  readLimit,
  type Limit,
  type LocalBuckets,
  type SharedBuckets,
} from '@blitzbuy/core/gate/limits'
import type { StrikeKind } from '@blitzbuy/core/gate/strikes'
import { senderNetwork } from '@blitzbuy/core/ip-address'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'

import type { ApiConfig } from '../config.ts'
import { refuse } from '../refusals.ts'

type LimitConfig = Pick<ApiConfig, Extract<keyof ApiConfig, `LIMIT_${string}`>>

declare module 'fastify' {
  interface FastifyInstance {
    limits: {
      /** Logging in, registering, changing what one logs in with: `{ onRequest: app.limits.auth }`. */
      auth: onRequestAsyncHookHandler
      /** Captchas and purchase tokens: `{ onRequest: app.limits.challenge }`. */
      challenge: onRequestAsyncHookHandler
      /** Each answers whether the request may go on; if not, the refusal has been sent. No trip. */
      purchaseOfAddress(request: FastifyRequest, reply: FastifyReply): boolean
      purchaseOfUser(userId: number, reply: FastifyReply): boolean
      /** Past a raised sold-out flag. */
      retryOfUser(userId: number, reply: FastifyReply): boolean
      notFound(request: FastifyRequest, reply: FastifyReply): boolean
    }
  }
}

/** A limit with its name in headers and keys, and the rule that counts its breaches. */
interface Policy extends Limit {
  name: string
  strike: StrikeKind
}

/** How a bucket stands for this request. */
interface Standing {
  policy: Policy
  remaining: number
  leftMs: number
  isExceeded: boolean
}

/**
 * Who may ask how often.
 *
 * One bucket per address, or /64 of IPv6, and, once somebody is logged in, one per user. The user's is the smaller
 * one by far, so that of many people behind one address only the one who is too fast is refused.
 */
export default fp<{ config: LimitConfig }>(
  async (app, { config }) => {
    const { strikes, metrics } = app.core
    await app.register(fastifyRateLimit, {
      global: false,
      store: createStoreClass(app.core.sharedBuckets, app.log),
    })

    const noteBreach = createNoteBreach()

    app.decorate('limits', {
      auth: shared('auth', config.LIMIT_AUTH_ADDRESS, config.LIMIT_AUTH_USER),
      challenge: shared('challenge', config.LIMIT_CHALLENGE_ADDRESS, config.LIMIT_CHALLENGE_USER),
      purchaseOfAddress: localOfAddress('purchase-address', config.LIMIT_PURCHASE_ADDRESS),
      purchaseOfUser: localOfUser('purchase-user', config.LIMIT_PURCHASE_USER),
      retryOfUser: localOfUser('purchase-retry', config.LIMIT_PURCHASE_RETRY),
      notFound: localOfAddress('not-found', config.LIMIT_NOT_FOUND),
    })

    /** Both buckets lie in Redis; the plugin counts, and this hook answers, with the names of the current draft. */
    function shared(name: string, ofAddress: string, ofUser: string): onRequestAsyncHookHandler {
      const addressPolicy = policyOf(`${name}-address`, ofAddress, 'limit-breach-address')
      const userPolicy = policyOf(`${name}-user`, ofUser, 'limit-breach')
      const takeOfAddress = counter(addressPolicy, (request) => app.clientOf(request).sender)
      const takeOfUser = counter(userPolicy, (request) => String(accountOf(request)?.userId))

      return async (request, reply) => {
        const account = accountOf(request)
        const [address, user] = await Promise.all([
          takeOfAddress(request),
          account ? takeOfUser(request) : undefined,
        ])
        const standings = user ? [address, user] : [address]
        tell(reply, standings)
        const exceeded = standings.find((standing) => standing.isExceeded)
        if (!exceeded) return
        const subject = exceeded === user && account ? userSubject(account.userId) : addressSubject(request)
        noteBreach(exceeded.policy, subject)
        metrics.rateLimited(exceeded.policy.name)
        refuse(reply, { code: 'rate-limited', retryAfterMs: exceeded.leftMs })
        return reply
      }
    }

    function counter(policy: Policy, keyOf: (request: FastifyRequest) => string) {
      const count = app.createRateLimit({
        max: policy.max,
        timeWindow: policy.windowMs,
        keyGenerator: (request) => `${policy.name}:${keyOf(request)}`,
      })
      return async (request: FastifyRequest): Promise<Standing> => {
        const taken = await count(request)
        // There is no list of those who are always allowed.
        if (taken.isAllowed) return { policy, remaining: policy.max, leftMs: 0, isExceeded: false }
        return { policy, remaining: taken.remaining, leftMs: taken.ttl, isExceeded: taken.isExceeded }
      }
    }

    function localOfAddress(name: string, setting: string) {
      const policy = policyOf(name, setting, 'limit-breach-address')
      const buckets = createLocalBuckets(policy)
      return (request: FastifyRequest, reply: FastifyReply): boolean =>
        takeLocal(policy, buckets, app.clientOf(request).sender, reply, () => addressSubject(request))
    }

    function localOfUser(name: string, setting: string) {
      const policy = policyOf(name, setting, 'limit-breach')
      const buckets = createLocalBuckets(policy)
      return (userId: number, reply: FastifyReply): boolean =>
        takeLocal(policy, buckets, userId, reply, () => userSubject(userId))
    }

    function takeLocal(
      policy: Policy,
      buckets: LocalBuckets,
      key: string | number,
      reply: FastifyReply,
      subject: () => Subject | undefined,
    ): boolean {
      const { count, leftMs } = buckets(key)
      if (count <= policy.max) return true
      tell(reply, [{ policy, remaining: 0, leftMs, isExceeded: true }])
      noteBreach(policy, subject())
      metrics.rateLimited(policy.name)
      refuse(reply, { code: 'rate-limited', retryAfterMs: leftMs })
      return false
    }

    function addressSubject(request: FastifyRequest): Subject | undefined {
      const { address } = app.clientOf(request)
      return address && networkSubject(senderNetwork(address))
    }

    /**
     * A breach is a window in which a bucket ran over, however far: else every refused request would be a trip, and
     * whoever sends them could keep Redis busy.
     */
    function createNoteBreach() {
      const byPolicy = new Map<string, LocalBuckets>()
      return (policy: Policy, subject: Subject | undefined): void => {
        if (!subject) return
        let breaches = byPolicy.get(policy.name)
        if (!breaches) byPolicy.set(policy.name, (breaches = createLocalBuckets(policy)))
        if (breaches(subject).count === 1) void strikes.record(policy.strike, subject)
      }
    }
  },
  { name: 'limits', dependencies: ['core', 'client'] },
)

/** Redis' buckets; while it is away, buckets of this process: the limit then holds on each instance alone. */
function createStoreClass(sharedBuckets: SharedBuckets, log: FastifyBaseLogger) {
  return class Store implements FastifyRateLimitStore {
    readonly #windowMs: number
    readonly #fallback: LocalBuckets

    constructor({ timeWindow }: { timeWindow?: unknown }) {
      this.#windowMs = Number(timeWindow)
      this.#fallback = createLocalBuckets({ windowMs: this.#windowMs })
    }

    incr(key: string, done: (error: Error | null, taken?: { current: number; ttl: number }) => void): void {
      sharedBuckets(key, this.#windowMs)
        .catch((error: unknown) => {
          if (!(error instanceof StoreAway)) log.error({ err: error }, 'a request could not be counted')
          return this.#fallback(key)
        })
        .then(({ count, leftMs }) => done(null, { current: count, ttl: leftMs }), done)
    }

    child(options: object): Store {
      return new Store(options)
    }
  }
}

function policyOf(name: string, setting: string, strike: StrikeKind): Policy {
  return { name, strike, ...readLimit(setting) }
}

/** A route outside the session plugin has no session. */
function accountOf(request: FastifyRequest) {
  return (request.session as typeof request.session | undefined)?.account
}

/** draft-ietf-httpapi-ratelimit-headers-10: what the limits are, and what is left of them. */
function tell(reply: FastifyReply, standings: Standing[]): void {
  reply.header(
    'ratelimit-policy',
    standings.map(({ policy }) => `"${policy.name}";q=${policy.max};w=${policy.windowMs / 1_000}`).join(', '),
  )
  reply.header(
    'ratelimit',
    standings
      .map(
        ({ policy, remaining, leftMs }) => `"${policy.name}";r=${remaining};t=${Math.ceil(leftMs / 1_000)}`,
      )
      .join(', '),
  )
}
