import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

import type { Redis } from 'ioredis'

import { redisAnswer } from '../redis/connect-redis.ts'
import { normaliseAnswer } from './captcha-text.ts'
import { captchaCountKey, captchaKey } from './gate-keys.ts'
import type { PicturePool } from './picture-pool.ts'
import { LOGIN_WORK_MAX_NUMBER, WORK_MAX_NUMBER, isWorkDone, newWork, type Work } from './proof-of-work.ts'

/**
 * What a challenge is for. An answer to it is right only there: not from anybody else, nor by the same person in
 * another sale or session, nor one that was solved for a login and shown in a sale.
 */
export type CaptchaPurpose =
  | { of: 'sale'; saleId: number; userId: number; sessionId: string }
  /** Logging in and changing a password: nobody is anybody yet, so it is for where the request comes from. */
  | { of: 'login'; binding: string }

export type CaptchaKind = 'image' | 'work'

export type IssueCaptchaOutcome =
  | { kind: 'image'; captchaId: string; image: string }
  | { kind: 'work'; captchaId: string; work: Work }
  | { kind: 'too_many'; retryAfterMs: number }
  | { kind: 'overloaded' }

export type CaptchaVerdict = 'solved' | 'incorrect' | 'expired'

/** What Redis holds of a challenge, as JSON. */
export type CaptchaRecord = { purpose: string } & (
  | { kind: 'image'; text: string }
  | { kind: 'work'; challenge: string; salt: string }
)

export interface Captchas {
  issue(purpose: CaptchaPurpose, kind: CaptchaKind): Promise<IssueCaptchaOutcome>
  /** Takes the one try that a challenge has: it is gone afterwards, whatever the answer was. */
  take(captchaId: string, purpose: CaptchaPurpose, answer: string): Promise<CaptchaVerdict>
}

export const CAPTCHA_TTL_MS = 120_000
export const CAPTCHAS_PER_MINUTE = 10
const MINUTE_MS = 60_000

export function createCaptchas({ redis, pictures }: { redis: Redis; pictures: PicturePool }): Captchas {
  /** The count and its end begin in one step: a count without an end would shut its user out for good. */
  async function count(userId: number): Promise<{ count: number; endsInMs: number }> {
    const key = captchaCountKey(userId)
    const replies = await redisAnswer(
      redis.multi().set(key, 0, 'PX', MINUTE_MS, 'NX').incr(key).pttl(key).exec(),
    )
    const [, counted, endsIn] = (replies ?? []).map(([error, reply]) => {
      if (error) throw error
      return Number(reply)
    })
    return { count: counted ?? 0, endsInMs: endsIn ?? MINUTE_MS }
  }

  async function keep(record: CaptchaRecord): Promise<string> {
    const captchaId = randomBytes(16).toString('base64url')
    await redisAnswer(redis.set(captchaKey(captchaId), JSON.stringify(record), 'PX', CAPTCHA_TTL_MS))
    return captchaId
  }

  return {
    async issue(purpose, kind) {
      // Visitors have no count of their own, which would be a key each: their addresses are counted by the api's limits.
      if (purpose.of === 'sale') {
        const given = await count(purpose.userId)
        if (given.count > CAPTCHAS_PER_MINUTE) return { kind: 'too_many', retryAfterMs: given.endsInMs }
      }
      const bound = { purpose: digestOf(purpose) }
      if (kind === 'work') {
        const work = newWork(purpose.of === 'login' ? LOGIN_WORK_MAX_NUMBER : WORK_MAX_NUMBER)
        const { challenge, salt } = work
        return { kind, captchaId: await keep({ ...bound, kind, challenge, salt }), work }
      }
      const picture = await pictures.take()
      if (!picture) return { kind: 'overloaded' }
      return { kind, captchaId: await keep({ ...bound, kind, text: picture.text }), image: picture.image }
    },

    async take(captchaId, purpose, answer) {
      const kept = await redisAnswer(redis.getdel(captchaKey(captchaId)))
      if (kept === null) return 'expired'
      const record = JSON.parse(kept) as CaptchaRecord
      const isTheirs = isSame(record.purpose, digestOf(purpose))
      const isRight =
        record.kind === 'image'
          ? isSame(record.text, normaliseAnswer(answer))
          : isWorkDone(record, answer.trim())
      return isTheirs && isRight ? 'solved' : 'incorrect'
    },
  }
}

/** Of equal length whatever the texts are, so that comparing them takes the same time. */
function isSame(expected: string, given: string): boolean {
  return timingSafeEqual(sha256(expected), sha256(given))
}

/** A digest: neither a session id nor an address has any business in a second key. */
function digestOf(purpose: CaptchaPurpose): string {
  const text =
    purpose.of === 'sale'
      ? `sale:${purpose.saleId}:${purpose.userId}:${purpose.sessionId}`
      : `login:${purpose.binding}`
  return sha256(text).toString('base64url')
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
