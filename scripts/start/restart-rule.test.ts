import { describe, expect, it } from 'vitest'

import { createRestartRule } from './restart-rule.ts'

describe('a process that died', () => {
  it('waits twice as long after each quick death, and is given up after the fifth', () => {
    const afterDeath = createRestartRule()

    expect(Array.from({ length: 5 }, () => afterDeath(100))).toEqual([
      { kind: 'restart', afterMs: 500 },
      { kind: 'restart', afterMs: 1000 },
      { kind: 'restart', afterMs: 2000 },
      { kind: 'restart', afterMs: 4000 },
      { kind: 'give-up' },
    ])
  })

  it('is never given up while it lives long enough in between', () => {
    const afterDeath = createRestartRule()

    for (let death = 0; death < 20; death++) {
      expect(afterDeath(100)).toEqual({ kind: 'restart', afterMs: 500 * 2 ** (death === 0 ? 0 : 1) })
      expect(afterDeath(60_000)).toEqual({ kind: 'restart', afterMs: 500 })
    }
  })
})
