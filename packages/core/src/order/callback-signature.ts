import { createHmac, timingSafeEqual } from 'node:crypto'

/** Older, or further in the future, is a replay; a callback that is sent again is signed anew. */
export const REPLAY_WINDOW_MS = 300_000

export const TIMESTAMP_HEADER = 'x-payment-timestamp'
export const SIGNATURE_HEADER = 'x-payment-signature'

/** HMAC-SHA256 over `timestampMs.body`; the first secret signs, all of them verify. */
export interface CallbackSignatures {
  sign(body: string, nowMs: number): Record<string, string>
  isValid(timestamp: unknown, signature: unknown, body: string, nowMs: number): boolean
}

export function createCallbackSignatures(secrets: readonly string[]): CallbackSignatures {
  const [signingSecret] = secrets
  if (signingSecret === undefined) throw new TypeError('at least one secret is needed')

  return {
    sign: (body, nowMs) => ({
      [TIMESTAMP_HEADER]: String(nowMs),
      [SIGNATURE_HEADER]: mac(signingSecret, String(nowMs), body).toString('hex'),
    }),

    isValid(timestamp, signature, body, nowMs) {
      if (typeof timestamp !== 'string' || !/^\d{1,15}$/.test(timestamp)) return false
      if (typeof signature !== 'string' || !/^[0-9a-f]{64}$/.test(signature)) return false
      if (Math.abs(nowMs - Number(timestamp)) > REPLAY_WINDOW_MS) return false
      const given = Buffer.from(signature, 'hex')
      return secrets.some((secret) => timingSafeEqual(given, mac(secret, timestamp, body)))
    },
  }
}

function mac(secret: string, timestamp: string, body: string): Buffer {
  return createHmac('sha256', secret).update(`${timestamp}.${body}`).digest()
}
