import type { Redis } from 'ioredis'
import type { Logger } from 'pino'

import type { RulesConfig } from '../config.ts'
import { StoreAway, UnexpectedReply } from '../errors.ts'
import { BLACKLIST_CHANGED, channelOf } from '../redis/channels.ts'
import { bindScript, type LuaScript } from '../redis/lua-script.ts'
import { BLACKLIST_ENTRIES_MAX } from './blacklist-entries.ts'
import type { Subject } from './blacklist-subject.ts'
import { blacklistKeys, strikesKey } from './gate-keys.ts'

/** What a rule counts, with the reason that its entry gives. */
const REASONS = {
  'captcha-wrong': 'too many wrong captchas',
  'token-misuse': 'purchase tokens that were not theirs, or forged',
  'limit-breach': 'over the limits again and again',
  'limit-breach-address': 'over the limits again and again',
  'order-unpaid': 'orders held and not paid',
} as const

export type StrikeKind = keyof typeof REASONS

/** So many strikes within the window, and the subject is on the blacklist for a while; undefined: the rule is off. */
export type StrikeRules = Partial<Record<StrikeKind, StrikeRule | undefined>>

export interface StrikeRule {
  threshold: number
  windowMs: number
  lastsMs: number
}

export type StrikeOutcome =
  | { kind: 'counted' | 'blacklisted' | 'full'; strikes: number }
  /** The rule is off, or Redis is away: a strike is worth no error to anybody. */
  | { kind: 'not_counted' }

export interface Strikes {
  /** Counts one breach. It never rejects: a call site need not wait for it. */
  record(kind: StrikeKind, subject: Subject): Promise<StrikeOutcome>
}

/** The typed face of lua/strike.lua; read that file for the rules. */
export const strikeScript = {
  file: 'strike',
  keys: ['strikes', 'entries', 'expiries', 'version'],
  args: ['channel', 'entriesMax', 'threshold', 'windowMs', 'lastsMs', 'subject', 'cause', 'reason'],
  entry: [],
  decode: decodeStrike,
} as const satisfies LuaScript

export function createStrikes(deps: { redis: Redis; rules: StrikeRules; log: Logger }): Strikes {
  const { redis, rules, log } = deps
  const run = bindScript(redis, strikeScript)
  const channel = channelOf(redis, BLACKLIST_CHANGED)

  return {
    async record(kind, subject) {
      const rule = rules[kind]
      if (!rule) return { kind: 'not_counted' }
      try {
        const outcome = await run(
          { ...blacklistKeys(), strikes: strikesKey(kind, subject) },
          {
            channel,
            entriesMax: BLACKLIST_ENTRIES_MAX,
            ...rule,
            subject,
            cause: kind,
            reason: REASONS[kind],
          },
        )
        if (outcome.kind === 'blacklisted')
          log.warn({ rule: kind, subject }, 'put on the blacklist by a rule')
        if (outcome.kind === 'full') log.error({ rule: kind, subject }, 'the blacklist is full')
        return outcome
      } catch (error) {
        if (!(error instanceof StoreAway))
          log.error({ err: error, rule: kind }, 'a strike could not be counted')
        return { kind: 'not_counted' }
      }
    },
  }
}

export function readStrikeRules(config: RulesConfig): StrikeRules {
  return {
    'captcha-wrong': readStrikeRule(config.RULE_CAPTCHA_WRONG),
    'token-misuse': readStrikeRule(config.RULE_TOKEN_MISUSE),
    'limit-breach': readStrikeRule(config.RULE_LIMIT_BREACH),
    'limit-breach-address': readStrikeRule(config.RULE_LIMIT_BREACH_ADDRESS),
    'order-unpaid': readStrikeRule(config.RULE_ORDER_UNPAID),
  }
}

/** A setting `threshold/window seconds/seconds on the blacklist`, or `off`. */
export function readStrikeRule(setting: string): StrikeRule | undefined {
  if (setting === 'off') return undefined
  const [threshold, windowSeconds, lastsSeconds] = setting.split('/').map(Number) as [number, number, number]
  return { threshold, windowMs: windowSeconds * 1_000, lastsMs: lastsSeconds * 1_000 }
}

function decodeStrike(reply: unknown): Exclude<StrikeOutcome, { kind: 'not_counted' }> {
  const [kind, strikes] = reply as [string, number]
  if (kind !== 'counted' && kind !== 'blacklisted' && kind !== 'full')
    throw new UnexpectedReply('strike', reply)
  return { kind, strikes }
}
