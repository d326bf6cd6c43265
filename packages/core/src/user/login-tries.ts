import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'

import type { Redis } from 'ioredis'

import { UnexpectedReply } from '../errors.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import { bindScript, type LuaScript } from '../redis/lua-script.ts'

/**
 * What guesses are counted by. Each has a bucket of its own and none is ever combined with another: who changes the
 * address meets the account's bucket, who changes the account meets the address'.
 */
export type LoginBucket =
  | { of: 'account'; accountKey: string }
  | { of: 'address'; address: string }
  /** A browser that has logged in to this account before. */
  | { of: 'device'; deviceId: string; accountKey: string }
  /** Guesses at the old password, from within a session. */
  | { of: 'password'; userId: number }

export type TakeTryOutcome = { kind: 'taken' } | { kind: 'exhausted'; waitMs: number }

export interface LoginTriesLimits {
  perAccount: number
  perAddress: number
  /** Until an empty bucket is full again. */
  refillMs: number
}

export interface LoginTries {
  take(bucket: LoginBucket): Promise<TakeTryOutcome>
  /** The password was right: what was taken was no guess. */
  giveBack(bucket: LoginBucket): Promise<void>
  /** Counts a failed login of anybody, anywhere; how many there were in this minute. */
  countFailure(): Promise<number>
}

/** The typed face of lua/take-login-try.lua; read that file for the rules. */
export const takeLoginTryScript = {
  file: 'take-login-try',
  keys: ['bucket'],
  args: ['tries', 'refillMs'],
  entry: [],
  decode: decodeTake,
} as const satisfies LuaScript

/** The typed face of lua/give-back-login-try.lua; read that file for the rules. */
export const giveBackLoginTryScript = {
  file: 'give-back-login-try',
  keys: ['bucket'],
  args: ['tries', 'refillMs'],
  entry: [],
  decode: () => undefined,
} as const satisfies LuaScript

const MINUTE_MS = 60_000
const FAILURES_KEPT_SECONDS = 3_600

export function createLoginTries(
  redis: Redis,
  limits: LoginTriesLimits,
  now: () => number = Date.now,
): LoginTries {
  const runTake = bindScript(redis, takeLoginTryScript)
  const runGiveBack = bindScript(redis, giveBackLoginTryScript)
  const argsOf = ({ of }: LoginBucket) => ({
    tries: of === 'address' ? limits.perAddress : limits.perAccount,
    refillMs: limits.refillMs,
  })

  return {
    take: (bucket) => runTake({ bucket: loginTriesKey(bucket) }, argsOf(bucket)),
    async giveBack(bucket) {
      await runGiveBack({ bucket: loginTriesKey(bucket) }, argsOf(bucket))
    },
    async countFailure() {
      const key = failedLoginsKey(Math.floor(now() / MINUTE_MS))
      const [failures] = await Promise.all([
        redisAnswer(redis.incr(key)),
        redisAnswer(redis.expire(key, FAILURES_KEPT_SECONDS)),
      ])
      return failures
    },
  }
}

/** Names an account before anybody has looked whether it exists, and shows no phone number in keys and cookies. */
export function accountKeyOf(e164: string): string {
  return createHash('sha256').update(`account:${e164}`).digest('base64url').slice(0, 22)
}

export function loginTriesKey(bucket: LoginBucket): string {
  switch (bucket.of) {
    case 'account':
      return `login-tries:account:${bucket.accountKey}`
    case 'address':
      return `login-tries:address:${addressBlock(bucket.address)}`
    case 'device':
      return `login-tries:device:${bucket.deviceId}:${bucket.accountKey}`
    case 'password':
      return `login-tries:password:${bucket.userId}`
  }
}

export function failedLoginsKey(minute: number): string {
  return `failed-logins:${minute}`
}

/** Who has one IPv6 address has 2^64 of them: the first half is what counts. IPv4 as it is, however it is written. */
export function addressBlock(address: string): string {
  const ipv4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (ipv4) return ipv4
  if (!isIPv6(address)) return address
  const [head = '', tail] = (address.split('%', 1)[0] as string).split('::')
  const groups = head === '' ? [] : head.split(':')
  const rest = tail ? tail.split(':') : []
  const zeros =
    tail === undefined ? [] : Array<string>(Math.max(0, 8 - groups.length - rest.length)).fill('0')
  const prefix = [...groups, ...zeros, ...rest].slice(0, 4)
  return `${prefix.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}

function decodeTake(reply: unknown): TakeTryOutcome {
  const [kind, waitMs] = reply as [string, number?]
  switch (kind) {
    case 'taken':
      return { kind }
    case 'exhausted':
      return { kind, waitMs: Number(waitMs) }
    default:
      throw new UnexpectedReply('take-login-try', reply)
  }
}
