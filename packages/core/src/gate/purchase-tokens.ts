import { timingSafeEqual } from 'node:crypto'

import { createHmacSha256, type HmacSha256 } from '../hmac-sha256.ts'

/**
 * A purchase token: the right to try to buy, for one user in one sale.
 *
 *    8 bits  purpose
 *   32 bits  sale
 *   32 bits  user
 *   48 bits  when it was issued, epoch ms
 *   48 bits  not before: the opening
 *   48 bits  expiry
 *  144 bits  HMAC-SHA256 of all that, cut off
 *
 * in 60 characters of base64url, every bit of which counts. It is checked without asking any store.
 */
export interface PurchaseTokens {
  sign(content: PurchaseTokenContent): string
  read(token: unknown, saleId: number, userId: number, nowMs: number): TokenVerdict
}

export interface PurchaseTokenContent {
  saleId: number
  userId: number
  issuedAtMs: number
  notBeforeMs: number
  expiresAtMs: number
}

export type TokenVerdict =
  | { kind: 'valid'; issuedAtMs: number }
  /** Good from then on. */
  | { kind: 'early'; notBeforeMs: number }
  /** Missing, forged, expired, or not for this user and sale: nobody learns which. */
  | { kind: 'invalid' }

/** Anything else that is ever signed with these secrets says something else here. */
const PURPOSE_PURCHASE = 1
const SIGNED_BYTES = 27
const BYTES = 45
const LENGTH = 60
const INVALID: TokenVerdict = { kind: 'invalid' }

/** The first secret signs, all of them verify: a new one is put in front, the old one may go some minutes later. */
export function createPurchaseTokens(secrets: readonly string[]): PurchaseTokens {
  const keys = secrets.map(createHmacSha256)
  const [signingKey] = keys
  if (signingKey === undefined) throw new TypeError('at least one secret is needed')
  const expected = Buffer.alloc(BYTES - SIGNED_BYTES)

  const prove = (key: HmacSha256, bytes: Buffer, into: Buffer): Buffer => {
    into.write(key(bytes.subarray(0, SIGNED_BYTES)), 'latin1')
    return into
  }

  return {
    sign({ saleId, userId, issuedAtMs, notBeforeMs, expiresAtMs }) {
      const bytes = Buffer.alloc(BYTES)
      bytes.writeUInt8(PURPOSE_PURCHASE, 0)
      bytes.writeUInt32BE(saleId, 1)
      bytes.writeUInt32BE(userId, 5)
      bytes.writeUIntBE(issuedAtMs, 9, 6)
      bytes.writeUIntBE(notBeforeMs, 15, 6)
      bytes.writeUIntBE(expiresAtMs, 21, 6)
      prove(signingKey, bytes, bytes.subarray(SIGNED_BYTES))
      return bytes.toString('base64url')
    },

    read(token, saleId, userId, nowMs) {
      // The length first: a megabyte in a header is refused before anything is done with it.
      if (typeof token !== 'string' || token.length !== LENGTH) return INVALID
      const bytes = Buffer.from(token, 'base64url')
      // Node's decoder skips what is not base64url; only the one spelling of a token is it.
      if (bytes.length !== BYTES || bytes.toString('base64url') !== token) return INVALID
      const given = bytes.subarray(SIGNED_BYTES)
      let isProved = false
      // Through to the last key: the time must not tell which one signed.
      for (const key of keys) if (timingSafeEqual(given, prove(key, bytes, expected))) isProved = true
      if (!isProved) return INVALID

      const isTheirs =
        bytes.readUInt8(0) === PURPOSE_PURCHASE &&
        bytes.readUInt32BE(1) === saleId &&
        bytes.readUInt32BE(5) === userId
      if (!isTheirs || nowMs >= bytes.readUIntBE(21, 6)) return INVALID
      const notBeforeMs = bytes.readUIntBE(15, 6)
      if (nowMs < notBeforeMs) return { kind: 'early', notBeforeMs }
      return { kind: 'valid', issuedAtMs: bytes.readUIntBE(9, 6) }
    },
  }
}
