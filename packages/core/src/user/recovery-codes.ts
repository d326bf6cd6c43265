import { createHash, randomBytes } from 'node:crypto'

/** What looks alike on paper is read as one: no I, L, O, U. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const CODE = /^[0-9A-HJKMNP-TV-Z]{16}$/
const COUNT = 10
const LENGTH = 16
const GROUP = /.{4}(?=.)/g

/** Ten codes of 80 bits each, in groups of four. */
export function newRecoveryCodes(): string[] {
  return Array.from({ length: COUNT }, () =>
    Array.from(randomBytes(LENGTH), (byte) => ALPHABET[byte % ALPHABET.length])
      .join('')
      .replaceAll(GROUP, '$&-'),
  )
}

/** A code as it may be typed, or undefined for what cannot be one. */
export function readRecoveryCode(typed: string): string | undefined {
  const code = typed.toUpperCase().replaceAll(/[\s-]/g, '').replaceAll(/[IL]/g, '1').replaceAll('O', '0')
  return CODE.test(code) ? code : undefined
}

/** 80 random bits cannot be guessed, so a fast hash is as good as a slow one. */
export function hashRecoveryCode(code: string): string {
  return createHash('sha256')
    .update(`recovery:${code.replaceAll('-', '')}`)
    .digest('hex')
}
