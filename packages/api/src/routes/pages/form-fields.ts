import type { HumanCheckAnswer } from '@blitzbuy/core/user/log-in'

/** UTF-16 units: 128 characters of a password are up to four times as many before they are normalised. */
const FIELD_LENGTH_MAX = 1_024

/** A field of a form as text; what is missing, doubled or too long for any field of ours is an empty one. */
export function readField(form: unknown, name: string): string {
  const value = typeof form === 'object' && form !== null ? Reflect.get(form, name) : undefined
  return typeof value === 'string' && value.length <= FIELD_LENGTH_MAX ? value : ''
}

/** The answer to a human check, if the form brought one. */
export function readCheck(form: unknown): HumanCheckAnswer | undefined {
  const captchaId = readField(form, 'captchaId')
  const answer = readField(form, 'answer')
  return captchaId && answer ? { captchaId, answer } : undefined
}
