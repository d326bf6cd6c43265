import { describe, expect, it } from 'vitest'

import { createSealer } from './sealed-secret.ts'

const OLD = 'o'.repeat(32)
const NEW = 'n'.repeat(32)

describe('a sealed secret', () => {
  it('is opened for its owner alone, and says nothing of itself', () => {
    const sealer = createSealer([NEW])
    const sealed = sealer.seal('JBSWY3DP', 'user:7')
    expect(sealer.open(sealed, 'user:7')).toBe('JBSWY3DP')
    expect(() => sealer.open(sealed, 'user:8')).toThrow('SECOND_FACTOR_SECRETS')
    expect(sealed).not.toContain('JBSWY3DP')
    expect(sealer.seal('JBSWY3DP', 'user:7')).not.toBe(sealed)
  })

  it('outlives the rotation of its key, and not the loss of it', () => {
    const sealed = createSealer([OLD]).seal('JBSWY3DP', 'user:7')
    expect(createSealer([NEW, OLD]).open(sealed, 'user:7')).toBe('JBSWY3DP')
    expect(() => createSealer([NEW]).open(sealed, 'user:7')).toThrow('SECOND_FACTOR_SECRETS')
  })

  it('that was changed by one bit is not opened', () => {
    const sealer = createSealer([NEW])
    const bytes = Buffer.from(sealer.seal('JBSWY3DP', 'user:7'), 'base64url')
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(() => sealer.open(changed.toString('base64url'), 'user:7')).toThrow()
    }
  })
})
