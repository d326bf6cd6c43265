import { describe, expect, it } from 'vitest'

import { createPurchaseTokens } from './purchase-tokens.ts'

const [OLD, NEW, OTHER] = ['o', 'n', 'x'].map((letter) => letter.repeat(32)) as [string, string, string]
const tokens = createPurchaseTokens([OLD])
const content = { saleId: 7, userId: 9, issuedAtMs: 1_000, notBeforeMs: 2_000, expiresAtMs: 122_000 }
const token = tokens.sign(content)
const NOW = 3_000
const INVALID = { kind: 'invalid' }

describe('a purchase token', () => {
  it('is good for its user and sale, from the opening until it expires', () => {
    expect(token).toHaveLength(60)
    expect(tokens.read(token, 7, 9, NOW)).toEqual({ kind: 'valid', issuedAtMs: 1_000 })
    expect(tokens.read(token, 7, 9, 1_999)).toEqual({ kind: 'early', notBeforeMs: 2_000 })
    expect(tokens.read(token, 7, 9, 2_000).kind).toBe('valid')
    expect(tokens.read(token, 7, 9, 121_999).kind).toBe('valid')
    expect(tokens.read(token, 7, 9, 122_000)).toEqual(INVALID)
  })

  it('is worth nothing to another user, or in another sale', () => {
    expect(tokens.read(token, 7, 10, NOW)).toEqual(INVALID)
    expect(tokens.read(token, 8, 9, NOW)).toEqual(INVALID)
    expect(tokens.read(token, 9, 7, NOW)).toEqual(INVALID)
  })

  it('is worth nothing with any one bit changed', () => {
    const bytes = Buffer.from(token, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes)
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      expect(tokens.read(changed.toString('base64url'), 7, 9, NOW)).toEqual(INVALID)
    }
  })

  it('has one spelling', () => {
    for (let at = 0; at < token.length; at += 1) {
      for (const character of ['A', '_', '-', '+', '/', '=', ' ', '%', 'é']) {
        const changed = token.slice(0, at) + character + token.slice(at + 1)
        if (changed !== token) expect(tokens.read(changed, 7, 9, NOW)).toEqual(INVALID)
      }
    }
    for (const changed of [`${token}=`, ` ${token}`, `${token}\n`, token.slice(0, -1)]) {
      expect(tokens.read(changed, 7, 9, NOW)).toEqual(INVALID)
    }
  })

  it.each([
    ['missing', undefined],
    ['empty', ''],
    ['a megabyte', 'A'.repeat(1024 * 1024)],
    ['not one but two', [token, token]],
    ['a JSON web token without a signature', 'eyJhbGciOiJub25lIn0.eyJ1c2VySWQiOjksInNhbGVJZCI6N30.'],
    ['a session cookie', 'abcdefghijklmnopqrstuvwxyz012345.c2lnbmF0dXJlc2lnbmF0dXJlc2k'],
    ['zeros', 'A'.repeat(60)],
  ])('that is %s is refused', (_what, given) => {
    expect(tokens.read(given, 7, 9, NOW)).toEqual(INVALID)
  })

  it('of a megabyte costs no more than any other to refuse', () => {
    const long = 'A'.repeat(1024 * 1024)
    const beganMs = performance.now()
    for (let times = 0; times < 10_000; times += 1) tokens.read(long, 7, 9, NOW)
    expect(performance.now() - beganMs).toBeLessThan(200)
  })

  it('signed with another key is refused; an old key counts as long as it is listed', () => {
    expect(createPurchaseTokens([OTHER]).read(token, 7, 9, NOW)).toEqual(INVALID)
    const rotating = createPurchaseTokens([NEW, OLD])
    expect(rotating.read(token, 7, 9, NOW).kind).toBe('valid')
    expect(tokens.read(rotating.sign(content), 7, 9, NOW)).toEqual(INVALID)
    expect(createPurchaseTokens([NEW]).read(token, 7, 9, NOW)).toEqual(INVALID)
  })
})
