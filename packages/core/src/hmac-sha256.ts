import { createHash, hash } from 'node:crypto'

const BLOCK_BYTES = 64
const DIGEST_BYTES = 32
const MESSAGE_BYTES_MAX = 64

/** The digest as text, one character per byte (latin1). */
export type HmacSha256 = (message: Uint8Array) => string

/**
 * HMAC-SHA256 under one key, for messages of at most 64 bytes.
 *
 * The definition itself, H(key ⊕ opad, H(key ⊕ ipad, message)), with Node's one-shot hash: createHmac makes a native
 * object for each call, which takes three times as long and which the garbage collector has to finalise one by one.
 */
export function createHmacSha256(secret: string): HmacSha256 {
  const given = Buffer.from(secret, 'utf8')
  const key = given.length > BLOCK_BYTES ? createHash('sha256').update(given).digest() : given
  // Filled anew by each call, which ends before the next one begins.
  const inner = Buffer.alloc(BLOCK_BYTES + MESSAGE_BYTES_MAX)
  const outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES)
  for (let at = 0; at < BLOCK_BYTES; at += 1) {
    inner[at] = (key[at] ?? 0) ^ 0x36
    outer[at] = (key[at] ?? 0) ^ 0x5c
  }

  return (message) => {
    inner.set(message, BLOCK_BYTES)
    const digest = hash('sha256', inner.subarray(0, BLOCK_BYTES + message.length), 'binary')
    outer.write(digest, BLOCK_BYTES, DIGEST_BYTES, 'binary')
    return hash('sha256', outer, 'binary')
  }
}
