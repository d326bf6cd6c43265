import {
  BuildConfig,
  CooldownConfig,
  HealthConfig,
  RulesConfig,
  Secrets,
  SharedConfig,
  TracingConfig,
  TrustedProxies,
  limitSetting,
  type CheckConfig,
} from '@blitzbuy/core/config'
import { OPERATOR_LIMITS, type OperatorLimits } from '@blitzbuy/core/user/operator-marks'
import { SESSION_LIMITS, type SessionLimits } from '@blitzbuy/core/user/sessions'
import { Type, type Static } from 'typebox'

import type { StreamLimits } from './order-streams.ts'

export const ApiConfig = Type.Object({
  ...SharedConfig.properties,
  ...HealthConfig.properties,
  ...BuildConfig.properties,
  ...TracingConfig.properties,
  HOST: Type.String({ default: '127.0.0.1', minLength: 1, description: 'the address the api listens on' }),
  PORT: Type.Integer({
    minimum: 0,
    maximum: 65_535,
    description: 'a port from 1 to 65535 (0: any free one)',
  }),
  PUBLIC_ORIGIN: Type.String({
    pattern: '^https?://[^/\\s]+$',
    description: 'the origin that shoppers see, without a path, e.g. https://shop.example',
  }),
  HEADERS_TIMEOUT_MS: timeout('a connection may take to send the headers of a request', 10_000),
  REQUEST_TIMEOUT_MS: timeout('a request may take to arrive, its body included', 15_000),
  IDLE_TIMEOUT_MS: timeout('a connection may be silent before it is closed', 30_000),
  // A little less than the two seconds in which a refusal must be in the shopper's hands.
  ANSWER_WITHIN_MS: timeout('may pass until a request is answered, however slow the stores are', 1_800),
  SESSION_SECRETS: Secrets,
  SESSION_IDLE_SECONDS: Type.Integer({
    minimum: 60,
    default: SESSION_LIMITS.idleSeconds,
    description: 'how long a session lives that is not used, in seconds, 60 or more',
  }),
  SESSION_ABSOLUTE_SECONDS: Type.Integer({
    minimum: 60,
    default: SESSION_LIMITS.absoluteSeconds,
    description: 'how long a session lives however much it is used, in seconds, 60 or more',
  }),
  HASHES_AT_ONCE: Type.Integer({
    minimum: 1,
    maximum: 64,
    default: 1,
    description: 'how many passwords are hashed at the same time, from 1 to 64; each takes a core',
  }),
  HASHES_WAITING_MAX: Type.Integer({
    minimum: 0,
    maximum: 10_000,
    default: 100,
    description: 'how many logins wait for a hash, from 0 to 10000; more are told to come back',
  }),
  LOGIN_TRIES_PER_ACCOUNT: Type.Integer({
    minimum: 1,
    default: 10,
    description: 'wrong passwords for one account until a human check is asked for, 1 or more',
  }),
  LOGIN_TRIES_PER_ADDRESS: Type.Integer({
    minimum: 1,
    default: 200,
    description: 'wrong passwords from one address until a human check is asked for, 1 or more',
  }),
  LOGIN_TRIES_REFILL_SECONDS: Type.Integer({
    minimum: 1,
    default: 900,
    description: 'until all tries of an account or address are there again, in seconds',
  }),
  ORDER_ID_SECRETS: Secrets,
  TRUSTED_PROXIES: TrustedProxies,
  // Shared by all instances. Many people may stand behind one address, so it has many times what a user has.
  LIMIT_AUTH_ADDRESS: limitSetting('300/60'),
  LIMIT_AUTH_USER: limitSetting('30/60'),
  LIMIT_CHALLENGE_ADDRESS: limitSetting('1200/60'),
  LIMIT_CHALLENGE_USER: limitSetting('20/60'),
  // Of each instance.
  LIMIT_PURCHASE_ADDRESS: limitSetting('2000/10'),
  LIMIT_PURCHASE_USER: limitSetting('60/10'),
  LIMIT_PURCHASE_RETRY: limitSetting('10/10'),
  LIMIT_NOT_FOUND: limitSetting('300/60'),
  // How late the event loop may be until requests are refused, in this order.
  SHED_BROWSING_DELAY_MS: lateness('pages and lists', 150),
  SHED_LOGINS_DELAY_MS: lateness('new logins', 300),
  SHED_PURCHASES_DELAY_MS: lateness('purchases and payments', 1_200),
  // Open streams of order events; who is refused one polls instead.
  STREAMS_MAX: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    default: 10_000,
    description: 'how many shoppers one instance keeps a stream of order events open for, 0 or more',
  }),
  STREAMS_PER_ADDRESS: Type.Integer({
    minimum: 1,
    default: 1_000,
    description: 'how many of them for one address, 1 or more',
  }),
  STREAMS_PER_USER: Type.Integer({
    minimum: 1,
    default: 10,
    description: 'how many of them for one user, 1 or more',
  }),
  ...RulesConfig.properties,
  PURCHASE_TOKEN_SECRETS: Secrets,
  SECOND_FACTOR_SECRETS: Secrets,
  OPERATOR_IDLE_SECONDS: Type.Integer({
    minimum: 60,
    default: OPERATOR_LIMITS.idleSeconds,
    description: 'after how long without use operator pages ask for a code again, in seconds, 60 or more',
  }),
  OPERATOR_ABSOLUTE_SECONDS: Type.Integer({
    minimum: 60,
    default: OPERATOR_LIMITS.absoluteSeconds,
    description: 'after how long operators log in anew in any case, in seconds, 60 or more',
  }),
  ...CooldownConfig.properties,
  PAYMENT_PROVIDER: Type.Optional(
    Type.Enum(['sandbox', 'none'], {
      description:
        'sandbox (no money moves; the default outside production) or none (the default in production)',
    }),
  ),
  PAYMENT_CALLBACK_SECRETS: Secrets,
})
export type ApiConfig = Readonly<Static<typeof ApiConfig>>

function lateness(what: string, defaultMs: number) {
  return Type.Integer({
    minimum: 1,
    maximum: 60_000,
    default: defaultMs,
    description: `how many milliseconds (1 to 60000) the event loop is late when ${what} are refused`,
  })
}

function timeout(what: string, defaultMs: number) {
  return Type.Integer({
    minimum: 100,
    maximum: 600_000,
    default: defaultMs,
    description: `how many milliseconds ${what}, from 100 to 600000`,
  })
}

/** http is for the machine itself: elsewhere every cookie could be read on the way. */
const LOCAL_ORIGIN = /^http:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?$/

/** For `loadConfig`: a production that shoppers would reach without TLS does not start. */
export const checkApiConfig: CheckConfig<typeof ApiConfig> = (config) => [
  ...findOpenSite(config),
  ...findUnorderedShedding(config),
]

function findOpenSite({ NODE_ENV, PUBLIC_ORIGIN }: Partial<ApiConfig>): string[] {
  if (NODE_ENV !== 'production' || PUBLIC_ORIGIN === undefined) return []
  if (PUBLIC_ORIGIN.startsWith('https:') || LOCAL_ORIGIN.test(PUBLIC_ORIGIN)) return []
  return [
    'PUBLIC_ORIGIN is malformed; expected an https:// origin with NODE_ENV=production (http:// only for localhost)',
  ]
}

/** Purchases would be refused while pages are still served. */
function findUnorderedShedding(config: Partial<ApiConfig>): string[] {
  const names = ['SHED_BROWSING_DELAY_MS', 'SHED_LOGINS_DELAY_MS', 'SHED_PURCHASES_DELAY_MS'] as const
  return names.flatMap((name, at) => {
    const before = names[at - 1]
    const isOrdered = before === undefined || (config[before] ?? 0) <= (config[name] ?? Infinity)
    return isOrdered ? [] : [`${name} is too small; expected ${before} or more`]
  })
}

/** Where a provider sends the buyer's browser back to. */
export function createOrderPageUrl({ PUBLIC_ORIGIN }: Pick<ApiConfig, 'PUBLIC_ORIGIN'>) {
  return (orderId: string): string => `${PUBLIC_ORIGIN}/orders/${orderId}`
}

/** A sandbox that nobody asked for would give away goods: in production it must be said. */
export function paymentProvider({ PAYMENT_PROVIDER, NODE_ENV }: ApiConfig): 'sandbox' | 'none' {
  return PAYMENT_PROVIDER ?? (NODE_ENV === 'production' ? 'none' : 'sandbox')
}

export function sessionLimits(config: ApiConfig): SessionLimits {
  return { idleSeconds: config.SESSION_IDLE_SECONDS, absoluteSeconds: config.SESSION_ABSOLUTE_SECONDS }
}

export function operatorLimits(config: ApiConfig): OperatorLimits {
  return { idleSeconds: config.OPERATOR_IDLE_SECONDS, absoluteSeconds: config.OPERATOR_ABSOLUTE_SECONDS }
}

const HEARTBEAT_MS = 15_000

export function streamLimits(config: ApiConfig): StreamLimits {
  return {
    max: config.STREAMS_MAX,
    perAddress: config.STREAMS_PER_ADDRESS,
    perUser: config.STREAMS_PER_USER,
    // A silent connection is closed by this very process, too.
    heartbeatMs: Math.min(HEARTBEAT_MS, config.IDLE_TIMEOUT_MS / 2),
  }
}
