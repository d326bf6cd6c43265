import { assertNever } from '@blitzbuy/core/errors'
import type { IssueCaptchaOutcome } from '@blitzbuy/core/gate/captchas'
import type { AnswerOutcome, ChallengeOutcome } from '@blitzbuy/core/gate/human-check'

import { RETRY_SOON_MS, type Refusal } from './refusals.ts'

export type CheckRefusal = Exclude<ChallengeOutcome | AnswerOutcome, { kind: 'image' | 'work' | 'held' }>
export type ChallengeRefusal = Exclude<IssueCaptchaOutcome, { kind: 'image' | 'work' }>

/** The one table from an outcome of the human check to the contract's answer, for the JSON routes and the form alike. */
export function refusalOfCheck(outcome: CheckRefusal, opensAtMs: number, nowMs: number): Refusal {
  switch (outcome.kind) {
    case 'incorrect':
      return { code: 'captcha-incorrect' }
    case 'expired':
      return { code: 'captcha-expired' }
    case 'exhausted':
      return { code: 'tokens-exhausted', retryAfterMs: outcome.retryAfterMs }
    case 'too_many':
    case 'overloaded':
      return refusalOfChallenge(outcome)
    case 'not_yet':
      return {
        code: 'sale-not-open',
        retryAfterMs: outcome.checkOpensAtMs - nowMs,
        details: { opensAtMs, checkOpensAtMs: outcome.checkOpensAtMs, nowMs },
      }
    case 'closed':
      return { code: 'sale-closed' }
    case 'paused':
      return { code: 'sale-paused' }
    default:
      return assertNever(outcome)
  }
}

/** Why there is no challenge, whatever it would have been for. */
export function refusalOfChallenge(outcome: ChallengeRefusal): Refusal {
  return outcome.kind === 'too_many'
    ? { code: 'rate-limited', retryAfterMs: outcome.retryAfterMs }
    : { code: 'overloaded', retryAfterMs: RETRY_SOON_MS }
}
