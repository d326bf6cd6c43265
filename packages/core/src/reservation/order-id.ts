import { timingSafeEqual } from 'node:crypto'

import { createHmacSha256, type HmacSha256 } from '../hmac-sha256.ts'

/**
 * The id of an order proves itself: it leads to its sale, and only its buyer can have been given it.
 *
 *   48 bits  when it was minted, epoch ms
 *   32 bits  sale
 *   48 bits  HMAC-SHA256 of key, time, sale and user, cut off
 *
 * in 26 Crockford base32 characters. Somebody else's or an invented id is refused without asking any store.
 */
export interface OrderIds {
  mint(saleId: number, userId: number, nowMs: number): string
  /** What the id says, or undefined when it was not minted for this user. */
  read(orderId: string, userId: number): OrderIdContent | undefined
}

export interface OrderIdContent {
  saleId: number
  mintedAtMs: number
}

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** Every two characters, by their ten bits: half the steps of an encoding. */
const PAIRS = Array.from({ length: 1024 }, (_, at) => `${ALPHABET[at >>> 5]}${ALPHABET[at & 31]}`)
const LENGTH = 26
const BYTES = 16
const SIGNED_BYTES = 10
const PROOF_BYTES = BYTES - SIGNED_BYTES

/** The first secret signs, all of them verify: a new one is put in front, the old one goes when its orders are done. */
export function createOrderIds(secrets: readonly string[]): OrderIds {
  const keys = secrets.map(createHmacSha256)
  const [signingKey] = keys
  if (signingKey === undefined) throw new TypeError('at least one secret is needed')
  const expected = Buffer.alloc(PROOF_BYTES)
  // Filled anew by each minting, every byte of it: a buffer for each would take as long as the rest but for the HMAC.
  const minted = Buffer.alloc(BYTES)

  return {
    mint(saleId, userId, nowMs) {
      const bytes = minted
      bytes.writeUIntBE(nowMs, 0, 6)
      bytes.writeUInt32BE(saleId, 6)
      bytes.write(proof(signingKey, bytes, userId), SIGNED_BYTES, PROOF_BYTES, 'latin1')
      return encode(bytes)
    },

    read(orderId, userId) {
      const bytes = decode(orderId)
      if (!bytes) return undefined
      const given = bytes.subarray(SIGNED_BYTES)
      const isProved = keys.some((key) => {
        expected.write(proof(key, bytes, userId), 0, PROOF_BYTES, 'latin1')
        return timingSafeEqual(given, expected)
      })
      return isProved ? contentOf(bytes) : undefined
    },
  }
}

/** What an id says, without proof: for ids that come from the stores. */
export function readUnproved(orderId: string): OrderIdContent | undefined {
  const bytes = decode(orderId)
  return bytes && contentOf(bytes)
}

function contentOf(bytes: Buffer): OrderIdContent {
  return { mintedAtMs: bytes.readUIntBE(0, 6), saleId: bytes.readUInt32BE(6) }
}

const signed = Buffer.alloc(SIGNED_BYTES + 4)

function proof(key: HmacSha256, bytes: Buffer, userId: number): string {
  for (let at = 0; at < SIGNED_BYTES; at += 1) signed[at] = bytes[at] as number
  signed.writeUInt32BE(userId, SIGNED_BYTES)
  return key(signed)
}

/** 128 bits, with two zero bits in front to make 26 × 5: one character, then ten bits at a time. */
function encode(bytes: Buffer): string {
  let bits = bytes[0] as number
  let bitCount = 8 - 3
  let text = ALPHABET[bits >>> bitCount] as string
  for (let at = 1; at < BYTES; at += 1) {
    bits = ((bits & 1023) << 8) | (bytes[at] as number)
    bitCount += 8
    if (bitCount >= 10) {
      bitCount -= 10
      text += PAIRS[(bits >>> bitCount) & 1023]
    }
  }
  return text + (ALPHABET[bits & 31] as string)
}

function decode(text: string): Buffer | undefined {
  if (text.length !== LENGTH) return undefined
  const bytes = Buffer.alloc(BYTES)
  let bits = 0
  let bitCount = -2
  let at = 0
  for (const character of text) {
    const value = ALPHABET.indexOf(character)
    if (value < 0) return undefined
    bits = (bits << 5) | value
    bitCount += 5
    if (bitCount >= 8) {
      bitCount -= 8
      bytes[at] = bits >>> bitCount
      at += 1
      bits &= (1 << bitCount) - 1
    }
  }
  return encode(bytes) === text ? bytes : undefined
}
