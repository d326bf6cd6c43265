import { WAIT_SECONDS, createBuckets, type Buckets } from '@blitzbuy/core/metrics/buckets'
import {
  addCounter,
  addGauge,
  addHistogram,
  addTally,
  createRegistry,
  type Registry,
} from '@blitzbuy/core/metrics/registry'
import { createTally, type Tally } from '@blitzbuy/core/metrics/tally'

import type { RefusalCode } from './refusals.ts'

/** How tries to buy end. */
export const PURCHASE_OUTCOMES = [
  'reserved',
  'already_reserved',
  'sold_out',
  'not_open',
  'closed',
  'paused',
  'not_warmed',
  'over_limit',
  'cooling_down',
  'token',
  'login_required',
  'rate_limited',
  'blocked',
  'invalid',
  'shed',
  'unknown',
  'error',
] as const
export type PurchaseCount = (typeof PURCHASE_OUTCOMES)[number]

/** What a refusal of the purchase route is counted as; whatever is not here is an `error`. */
const COUNTED_AS: Partial<Record<RefusalCode, PurchaseCount>> = {
  'sold-out': 'sold_out',
  'too-few-left': 'sold_out',
  'sale-not-open': 'not_open',
  'sale-closed': 'closed',
  'sale-paused': 'paused',
  'sale-warming': 'not_warmed',
  'limit-exceeded': 'over_limit',
  'cooling-down': 'cooling_down',
  'purchase-token-invalid': 'token',
  'login-required': 'login_required',
  'rate-limited': 'rate_limited',
  blocked: 'blocked',
  'request-invalid': 'invalid',
  'not-found': 'invalid',
  'media-type-unsupported': 'invalid',
  'body-too-large': 'invalid',
  'cross-site': 'blocked',
  overloaded: 'shed',
  draining: 'shed',
  'outcome-unknown': 'unknown',
}

/** Outcomes that only a sale that exists can have: what anybody may write into a URL makes no label of its own. */
const PROVES_SALE = new Set<PurchaseCount>([
  'reserved',
  'already_reserved',
  'sold_out',
  'not_open',
  'closed',
  'paused',
  'not_warmed',
  'over_limit',
  'cooling_down',
])

const LOGIN_RESULTS = ['logged_in', 'credentials_invalid', 'captcha_required', 'overloaded']
const CAPTCHA_RESULTS = ['solved', 'incorrect', 'expired', 'exhausted']
const RULES = [
  'auth-address',
  'auth-user',
  'challenge-address',
  'challenge-user',
  'purchase-address',
  'purchase-user',
  'purchase-retry',
  'not-found',
]

const PURCHASE_ROUTE = 'POST /api/v1/sales/:saleId/orders'

/** The answers of one route, each status with its times. */
export interface RouteSeries {
  answered(status: number, seconds: number): void
}

/** What an api counts. Each is an addition in memory; `/metrics` reads it. */
export interface ApiMetrics {
  registry: Registry
  route(method: string, url: string): RouteSeries
  requestBegan(): void
  requestEnded(): void
  /** A try to buy, by the JSON route or the form. */
  purchase(saleId: number | undefined, outcome: PurchaseCount): void
  purchaseRefused(saleId: number | undefined, code: RefusalCode | undefined): void
  /** All tries so far, for whoever shows them by the second. */
  attempts: Pick<Tally<PurchaseCount>, 'read'>
  /** How long the answers to them took so far: how many fell into each bucket, and behind the last one. */
  attemptTimes(): number[]
  orderResults: Tally<'paid' | 'cancelled'>
  login(result: string): void
  captcha(result: string): void
  rateLimited(rule: string): void
  blacklistHit(kind: 'user' | 'phone' | 'address'): void
}

export function createApiMetrics(commit: string): ApiMetrics {
  const registry = createRegistry(commit)
  const routes = new Map<string, { method: string; url: string; byStatus: Map<number, Buckets> }>()
  let inFlightCount = 0
  const attempts = createTally(PURCHASE_OUTCOMES)
  const orderResults = createTally(['paid', 'cancelled'] as const)

  addHistogram(
    registry,
    'http_request_duration_seconds',
    'From the first hook of a request until its answer is handed to the socket.',
    function* () {
      for (const { method, url: route, byStatus } of routes.values())
        for (const [status, buckets] of byStatus) yield { labels: { method, route, status }, buckets }
    },
  )
  addGauge(registry, 'http_requests_in_flight', 'Requests that are not answered yet.', () => inFlightCount)
  addTally(
    registry,
    'blitzbuy_purchase_attempts_total',
    'Tries to buy by how they ended.',
    'outcome',
    attempts,
  )
  addTally(
    registry,
    'blitzbuy_order_results_total',
    'Orders that came to a state; each process counts those that it brought there.',
    'result',
    orderResults,
  )

  return {
    registry,
    route(method, url) {
      const byStatus = new Map<number, Buckets>()
      routes.set(`${method} ${url}`, { method, url, byStatus })
      return {
        answered(status, seconds) {
          let buckets = byStatus.get(status)
          if (!buckets) byStatus.set(status, (buckets = createBuckets()))
          buckets.observe(seconds)
        },
      }
    },
    requestBegan: () => void (inFlightCount += 1),
    requestEnded: () => void (inFlightCount -= 1),
    purchase: (saleId, outcome) => attempts.count(saleId, outcome, PROVES_SALE.has(outcome)),
    purchaseRefused(saleId, code) {
      const outcome = (code && COUNTED_AS[code]) ?? 'error'
      attempts.count(saleId, outcome, PROVES_SALE.has(outcome))
    },
    attempts,
    attemptTimes() {
      const counts = [...WAIT_SECONDS.map(() => 0), 0]
      for (const { byStatus } of [routes.get(PURCHASE_ROUTE)].filter((series) => series !== undefined)) {
        for (const buckets of byStatus.values()) {
          const read = buckets.read()
          read.counts.forEach((count, at) => (counts[at] = (counts[at] ?? 0) + count))
          const behind = read.count - read.counts.reduce((sum, count) => sum + count, 0)
          counts[WAIT_SECONDS.length] = (counts[WAIT_SECONDS.length] ?? 0) + behind
        }
      }
      return counts
    },
    orderResults,
    login: counted(registry, 'blitzbuy_login_total', 'Logins by how they ended.', 'result', LOGIN_RESULTS),
    captcha: counted(
      registry,
      'blitzbuy_captcha_total',
      'Answers to the human check.',
      'result',
      CAPTCHA_RESULTS,
    ),
    rateLimited: counted(
      registry,
      'blitzbuy_rate_limited_total',
      'Requests that a limit refused.',
      'rule',
      RULES,
    ),
    blacklistHit: counted(
      registry,
      'blitzbuy_blacklist_hits_total',
      'Requests that the blacklist refused.',
      'kind',
      ['user', 'phone', 'address'],
    ),
  }
}

/** A counter with one label; its values are names of ours, never what a client has sent. */
function counted(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  values: readonly string[],
): (value: string) => void {
  // There from the start: a counter that appears with its first event hides that event from every rate.
  const counts = new Map(values.map((value) => [value, 0]))
  addCounter(registry, name, help, () =>
    [...counts].map(([value, count]) => ({ labels: { [label]: value }, value: count })),
  )
  return (value) => void counts.set(value, (counts.get(value) ?? 0) + 1)
}
