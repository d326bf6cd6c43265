import type { Redis } from 'ioredis'

import { UnexpectedReply } from '../errors.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import { bindScript, type LuaScript } from '../redis/lua-script.ts'
import type { RedisClock } from '../redis/redis-clock.ts'
import type { Sale } from '../sale/sales.ts'
import { tokenKeys } from './gate-keys.ts'
import type { PurchaseTokens } from './purchase-tokens.ts'

export type TokenSale = Pick<Sale, 'saleId' | 'quota' | 'tokensPerUnit' | 'opensAtMs'>

export interface HeldToken {
  kind: 'held'
  purchaseToken: string
  notBeforeMs: number
  expiresAtMs: number
}

export type Exhausted = { kind: 'exhausted'; retryAfterMs: number }

export interface TokenPlaces {
  /** A token for who has just shown to be a person. */
  issue(sale: TokenSale, userId: number): Promise<HeldToken | Exhausted>
  /** Where a user stands: the token they hold (from whatever device they got it), or whether they can get one. */
  find(sale: TokenSale, userId: number): Promise<HeldToken | Exhausted | { kind: 'none' }>
}

export const TOKEN_LIFETIME_MS = 120_000

/** The typed face of lua/issue-token.lua; read that file for the rules. */
export const issueTokenScript = {
  file: 'issue-token',
  keys: ['places', 'times', 'spent'],
  args: ['userId', 'opensAtMs', 'cap', 'lifetimeMs'],
  entry: [],
  decode: decodeIssue,
} as const satisfies LuaScript

export function createTokenPlaces(deps: {
  redis: Redis
  tokens: PurchaseTokens
  clock: RedisClock
  lifetimeMs?: number
}): TokenPlaces {
  const { redis, tokens, clock, lifetimeMs = TOKEN_LIFETIME_MS } = deps
  const run = bindScript(redis, issueTokenScript)

  const held = (saleId: number, userId: number, times: TokenTimes): HeldToken => ({
    kind: 'held',
    // Signing says the same for the same times, so the token itself is kept nowhere.
    purchaseToken: tokens.sign({ saleId, userId, ...times }),
    notBeforeMs: times.notBeforeMs,
    expiresAtMs: times.expiresAtMs,
  })

  return {
    async issue(sale, userId) {
      const { saleId, opensAtMs } = sale
      const answer = await run(tokenKeys(saleId), { userId, opensAtMs, cap: capOf(sale), lifetimeMs })
      return answer.kind === 'exhausted' ? answer : held(saleId, userId, answer)
    },

    async find(sale, userId) {
      const { saleId } = sale
      const { places, times, spent } = tokenKeys(saleId)
      const nowMs = clock.nowMs()
      // Sent together: one trip.
      const [expiry, issue, spentAt, taken, first] = await redisAnswer(
        Promise.all([
          redis.zscore(places, String(userId)),
          redis.hget(times, String(userId)),
          redis.hget(spent, String(userId)),
          redis.zcount(places, `(${nowMs}`, '+inf'),
          redis.zrangebyscore(places, `(${nowMs}`, '+inf', 'WITHSCORES', 'LIMIT', 0, 1),
        ]),
      )
      const expiresAtMs = Number(expiry)
      const hasPlace = expiry !== null && expiresAtMs > nowMs
      const [issuedAtMs = 0, notBeforeMs = 0] = (issue ?? '').split(':').map(Number)
      if (hasPlace && issue && issuedAtMs > Number(spentAt)) {
        return held(saleId, userId, { issuedAtMs, notBeforeMs, expiresAtMs })
      }
      const cap = capOf(sale)
      if (hasPlace || cap < 0 || taken < cap) return { kind: 'none' }
      return { kind: 'exhausted', retryAfterMs: Math.max(1, Number(first[1] ?? nowMs + lifetimeMs) - nowMs) }
    },
  }
}

interface TokenTimes {
  issuedAtMs: number
  notBeforeMs: number
  expiresAtMs: number
}

/** Of one sale; below 0 means any number. */
function capOf({ quota, tokensPerUnit }: TokenSale): number {
  return tokensPerUnit === 0 ? -1 : quota * tokensPerUnit
}

function decodeIssue(reply: unknown): ({ kind: 'issued' } & TokenTimes) | Exhausted {
  const [kind, first, notBeforeMs, expiresAtMs] = Array.isArray(reply) ? (reply as unknown[]) : []
  if (kind === 'exhausted') return { kind, retryAfterMs: Number(first) }
  if (kind !== 'issued') throw new UnexpectedReply('issue-token', reply)
  return {
    kind,
    issuedAtMs: Number(first),
    notBeforeMs: Number(notBeforeMs),
    expiresAtMs: Number(expiresAtMs),
  }
}
