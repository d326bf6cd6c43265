import type { RedisClock } from '../redis/redis-clock.ts'
import { salePhase } from '../sale/sale-phase.ts'
import type { Sale } from '../sale/sales.ts'
import type { CaptchaKind, CaptchaPurpose, Captchas, IssueCaptchaOutcome } from './captchas.ts'
import type { Exhausted, HeldToken, TokenPlaces, TokenSale } from './token-places.ts'

export type CheckedSale = TokenSale & Pick<Sale, 'state' | 'closesAtMs'>

/** Who asks. A challenge is theirs alone, in this session and this sale. */
export interface CheckedPerson {
  userId: number
  sessionId: string
}

/** Before this much time is left to the opening, nobody can show yet that they are a person. */
export const CHECK_AHEAD_MS = 600_000

type NotNow = { kind: 'not_yet'; checkOpensAtMs: number } | { kind: 'closed' | 'paused' }

export type ChallengeOutcome = IssueCaptchaOutcome | Exhausted | NotNow
export type AnswerOutcome = HeldToken | Exhausted | NotNow | { kind: 'incorrect' | 'expired' }

/** Step 3 of a purchase: a challenge, and the purchase token for who has solved it. */
export interface HumanCheck {
  challenge(sale: CheckedSale, person: CheckedPerson, kind: CaptchaKind): Promise<ChallengeOutcome>
  answer(sale: CheckedSale, person: CheckedPerson, captchaId: string, answer: string): Promise<AnswerOutcome>
}

export function createHumanCheck(deps: {
  captchas: Captchas
  places: TokenPlaces
  clock: RedisClock
}): HumanCheck {
  const { captchas, places, clock } = deps
  return {
    async challenge(sale, person, kind) {
      const notNow = whyNotNow(sale, clock.nowMs())
      if (notNow) return notNow
      // Told at once, not after they have solved it.
      const place = await places.find(sale, person.userId)
      return place.kind === 'exhausted' ? place : captchas.issue(purposeOf(sale, person), kind)
    },

    async answer(sale, person, captchaId, answer) {
      const notNow = whyNotNow(sale, clock.nowMs())
      if (notNow) return notNow
      const verdict = await captchas.take(captchaId, purposeOf(sale, person), answer)
      return verdict === 'solved' ? places.issue(sale, person.userId) : { kind: verdict }
    },
  }
}

function purposeOf({ saleId }: CheckedSale, { userId, sessionId }: CheckedPerson): CaptchaPurpose {
  return { of: 'sale', saleId, userId, sessionId }
}

/** A sale that has sold out is checked on: its units may come back. */
function whyNotNow(sale: CheckedSale, nowMs: number): NotNow | undefined {
  switch (salePhase(sale, undefined, nowMs)) {
    case 'ended':
      return { kind: 'closed' }
    case 'paused':
      return { kind: 'paused' }
    case 'upcoming': {
      const checkOpensAtMs = sale.opensAtMs - CHECK_AHEAD_MS
      return nowMs < checkOpensAtMs ? { kind: 'not_yet', checkOpensAtMs } : undefined
    }
    case 'open':
    case 'sold_out':
      return undefined
  }
}
