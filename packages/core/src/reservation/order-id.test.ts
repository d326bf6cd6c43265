import { describe, expect, it } from 'vitest'

import { createOrderIds, readUnproved } from './order-id.ts'

const secret = 'a'.repeat(32)
const ids = createOrderIds([secret])
const NOW_MS = 1_795_000_000_123

describe('an order id', () => {
  it.each([
    [1, 1, 0],
    [7, 42, NOW_MS],
    [2 ** 32 - 1, 2 ** 32 - 1, 2 ** 48 - 1],
  ])('leads its buyer to sale %i (user %i, minted at %i)', (saleId, userId, mintedAtMs) => {
    const id = ids.mint(saleId, userId, mintedAtMs)
    expect(id).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/)
    expect(ids.read(id, userId)).toEqual({ saleId, mintedAtMs })
    expect(readUnproved(id)).toEqual({ saleId, mintedAtMs })
  })

  it('means nothing to anybody else', () => {
    const id = ids.mint(7, 42, NOW_MS)
    expect(ids.read(id, 43)).toBeUndefined()
    expect(createOrderIds(['b'.repeat(32)]).read(id, 42)).toBeUndefined()
  })

  it('cannot be altered in any character', () => {
    const id = ids.mint(7, 42, NOW_MS)
    for (let at = 0; at < id.length; at += 1) {
      const altered = id.slice(0, at) + (id[at] === 'Z' ? 'Y' : 'Z') + id.slice(at + 1)
      expect(ids.read(altered, 42), altered).toBeUndefined()
    }
  })

  it.each(['', 'x', '0'.repeat(26), 'Z'.repeat(26), 'I'.repeat(26), '0'.repeat(27), 'é'.repeat(26)])(
    'that was invented, %s, is refused',
    (invented) => {
      expect(ids.read(invented, 42)).toBeUndefined()
    },
  )

  it('is not accepted in another spelling', () => {
    expect(ids.read(ids.mint(7, 42, NOW_MS).toLowerCase(), 42)).toBeUndefined()
  })

  it('outlives a change of the secret while the old one still verifies', () => {
    const id = ids.mint(7, 42, NOW_MS)
    const rotated = createOrderIds(['b'.repeat(32), secret])
    expect(rotated.read(id, 42)).toEqual({ saleId: 7, mintedAtMs: NOW_MS })
    expect(rotated.mint(7, 42, NOW_MS)).not.toBe(id)
  })
})
