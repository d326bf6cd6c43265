import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

import type { Redis } from 'ioredis'

import { redisAnswer } from '../redis/connect-redis.ts'
import type { VerifyHumanCheck } from './log-in.ts'

/** A check that costs a browser a second or two, and whoever guesses by the thousand as many thousand seconds. */
export interface LoginWork {
  captchaId: string
  zeroBits: number
  expiresAtMs: number
}

export interface LoginWorks {
  /** Makes no key: it proves itself, and is remembered only once it is used. */
  issue(binding: string): LoginWork
  verify: VerifyHumanCheck
}

const WORK_LASTS_MS = 120_000
export const WORK_ZERO_BITS = 17
const ID = /^([\w-]{22})\.(\d{13})\.([\w-]{43})$/

export function usedLoginWorkKey(salt: string): string {
  return `login-work:${salt}`
}

/** Proofs of work for logging in: bound to what they were given out for, for two minutes, one try each. */
export function createLoginWorks(redis: Redis, secrets: string[], now: () => number = Date.now): LoginWorks {
  const keys = secrets.map((secret) => createHmac('sha256', secret).update('login-work').digest())
  const sign = (key: Buffer, salt: string, expiresAtMs: string, binding: string): Buffer =>
    createHmac('sha256', key).update(`${salt}.${expiresAtMs}.${binding}`).digest()

  return {
    issue(binding) {
      const salt = randomBytes(16).toString('base64url')
      const expiresAtMs = now() + WORK_LASTS_MS
      const signature = sign(keys[0] as Buffer, salt, String(expiresAtMs), binding).toString('base64url')
      return { captchaId: `${salt}.${expiresAtMs}.${signature}`, zeroBits: WORK_ZERO_BITS, expiresAtMs }
    },

    async verify({ captchaId, answer }, binding) {
      const [, salt, expiresAtMs, signature] = ID.exec(captchaId) ?? []
      if (!salt || !expiresAtMs || !signature || Number(expiresAtMs) <= now()) return false
      const given = Buffer.from(signature, 'base64url')
      if (!keys.some((key) => timingSafeEqual(sign(key, salt, expiresAtMs, binding), given))) return false
      const lastsMs = Number(expiresAtMs) - now()
      // Used up before it is looked at, right or wrong: the same answer twice at once counts once.
      const isFirst = await redisAnswer(
        redis.set(usedLoginWorkKey(salt), '1', 'PX', Math.max(1, lastsMs), 'NX'),
      )
      return isFirst === 'OK' && zeroBitsOf(`${captchaId}.${answer}`) >= WORK_ZERO_BITS
    },
  }
}

function zeroBitsOf(text: string): number {
  const digest = createHash('sha256').update(text).digest()
  return Math.clz32(digest.readUInt32BE(0))
}
