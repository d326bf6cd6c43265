import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

/** Keeps a secret in the database that a copy of the database does not tell. */
export interface Sealer {
  /** @param owner whose it is: sealed for one, it cannot be opened for another. */
  seal(secret: string, owner: string): string
  /** @throws when it was sealed by a key that is gone, for somebody else, or was changed. */
  open(sealed: string, owner: string): string
}

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const PURPOSE = 'blitzbuy second factor'

/** @param secrets the first one seals, all of them open, so that they can be rotated. */
export function createSealer(secrets: readonly string[]): Sealer {
  const keys = secrets.map((secret) => Buffer.from(hkdfSync('sha256', secret, '', PURPOSE, KEY_BYTES)))

  return {
    seal(secret, owner) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(ALGORITHM, keys[0] as Buffer, nonce).setAAD(Buffer.from(owner))
      const sealed = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
      return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url')
    },

    open(sealed, owner) {
      const bytes = Buffer.from(sealed, 'base64url')
      const nonce = bytes.subarray(0, NONCE_BYTES)
      const tag = bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)
      const content = bytes.subarray(NONCE_BYTES + TAG_BYTES)
      for (const key of keys) {
        try {
          const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES })
          decipher.setAAD(Buffer.from(owner)).setAuthTag(tag)
          return Buffer.concat([decipher.update(content), decipher.final()]).toString('utf8')
        } catch {
          // Sealed by another one of the keys, or by none of them.
        }
      }
      throw new Error('a second factor cannot be opened: SECOND_FACTOR_SECRETS has no secret that sealed it')
    },
  }
}
