import { createHmac, timingSafeEqual } from 'node:crypto'

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
const LENGTH = 26
const BYTES = 16
const SIGNED_BYTES = 10

/** The first secret signs, all of them verify: a new one is put in front, the old one goes when its orders are done. */
export function createOrderIds(secrets: readonly string[]): OrderIds {
  const [signingSecret] = secrets
  if (signingSecret === undefined) throw new TypeError('at least one secret is needed')

  return {
    mint(saleId, userId, nowMs) {
      const bytes = Buffer.alloc(BYTES)
      bytes.writeUIntBE(nowMs, 0, 6)
      bytes.writeUInt32BE(saleId, 6)
      proof(signingSecret, bytes, userId).copy(bytes, SIGNED_BYTES)
      return encode(bytes)
    },

    read(orderId, userId) {
      const bytes = decode(orderId)
      if (!bytes) return undefined
      const given = bytes.subarray(SIGNED_BYTES)
      if (!secrets.some((secret) => timingSafeEqual(given, proof(secret, bytes, userId)))) return undefined
      return contentOf(bytes)
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

function proof(secret: string, bytes: Buffer, userId: number): Buffer {
  const user = Buffer.alloc(4)
  user.writeUInt32BE(userId)
  return createHmac('sha256', secret)
    .update(bytes.subarray(0, SIGNED_BYTES))
    .update(user)
    .digest()
    .subarray(0, BYTES - SIGNED_BYTES)
}

/** 128 bits, with two zero bits in front to make 26 × 5. */
function encode(bytes: Buffer): string {
  let text = ''
  let bits = 0
  let bitCount = 2
  for (const byte of bytes) {
    bits = (bits << 8) | byte
    bitCount += 8
    while (bitCount >= 5) {
      bitCount -= 5
      text += ALPHABET[(bits >>> bitCount) & 31]
    }
    bits &= 31
  }
  return text
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
