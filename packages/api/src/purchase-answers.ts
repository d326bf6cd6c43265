import { assertNever } from '@blitzbuy/core/errors'
import type { PurchaseOutcome } from '@blitzbuy/core/order/purchase'

import { RETRY_SOON_MS, type Refusal } from './refusals.ts'
import type { SaleView } from './sale-views.ts'

export type PurchaseRefusal = Exclude<PurchaseOutcome, { kind: 'reserved' | 'already_ordered' }>

/**
 * The one table from an outcome of a purchase to the contract's answer, for the JSON route and the form alike.
 *
 * @param sale as everybody sees it: a copy that is not warmed does not know whether the sale is early, late or there
 * @param nowMs Redis' clock, so that the client knows how long to wait whatever its own clock says
 */
export function refusalOfPurchase(
  outcome: PurchaseRefusal,
  sale: SaleView | undefined,
  nowMs: number,
): Refusal {
  switch (outcome.kind) {
    case 'sold_out':
      return { code: 'sold-out' }
    case 'too_few_left':
      return { code: 'too-few-left', details: { unitsLeft: outcome.unitsLeft } }
    case 'not_open':
      return notOpen(outcome.opensAtMs, nowMs)
    case 'token_spent':
      return { code: 'purchase-token-invalid' }
    case 'cooling_down':
      return { code: 'cooling-down', retryAfterMs: outcome.retryAfterMs }
    case 'closed':
      return { code: 'sale-closed' }
    case 'paused':
      return { code: 'sale-paused' }
    case 'over_limit':
      return { code: 'limit-exceeded', details: { unitsPerUser: outcome.unitsPerUser } }
    case 'overloaded':
      return { code: 'overloaded', retryAfterMs: RETRY_SOON_MS }
    case 'too_late':
    case 'outcome_unknown':
      return { code: 'outcome-unknown', retryAfterMs: RETRY_SOON_MS }
    case 'redis_away':
      return { code: 'dependency-unavailable', retryAfterMs: RETRY_SOON_MS }
    case 'not_warmed':
      return notWarmed(sale, nowMs)
    default:
      return assertNever(outcome)
  }
}

function notWarmed(sale: SaleView | undefined, nowMs: number): Refusal {
  if (!sale) return { code: 'not-found' }
  switch (sale.phase) {
    case 'upcoming':
      return notOpen(sale.opensAtMs, nowMs)
    case 'ended':
      return { code: 'sale-closed' }
    case 'paused':
      return { code: 'sale-paused' }
    case 'open':
    case 'sold_out':
      return { code: 'sale-warming', retryAfterMs: RETRY_SOON_MS }
    default:
      return assertNever(sale.phase)
  }
}

export function notOpen(opensAtMs: number, nowMs: number): Refusal {
  return {
    code: 'sale-not-open',
    retryAfterMs: Math.max(0, opensAtMs - nowMs),
    details: { opensAtMs, nowMs },
  }
}
