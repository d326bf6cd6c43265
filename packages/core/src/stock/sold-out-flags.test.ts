import { beforeEach, describe, expect, it } from 'vitest'

import { createSoldOutFlags, SOLD_OUT_FLAG_TTL_MS, type SoldOutFlags } from './sold-out-flags.ts'

describe('a sold-out flag', () => {
  let nowMs: number
  let flags: SoldOutFlags
  beforeEach(() => {
    nowMs = 1_000
    flags = createSoldOutFlags(() => nowMs)
  })

  it('stands for one sale', () => {
    flags.raise(7, 1, 1)
    expect([flags.isRaised(7), flags.isRaised(8)]).toEqual([true, false])
  })

  it('falls by itself after a second, also when nobody can tell it that units came back', () => {
    flags.raise(7, 1, 1)
    nowMs += SOLD_OUT_FLAG_TTL_MS - 1
    expect(flags.isRaised(7)).toBe(true)
    nowMs += 2
    expect(flags.isRaised(7)).toBe(false)
  })

  it('falls when units came back', () => {
    flags.raise(7, 1, 1)
    flags.lower(7, 1, 2)
    expect(flags.isRaised(7)).toBe(false)
  })

  it('is not raised by an answer that was on its way while units came back', () => {
    flags.lower(7, 1, 5)
    flags.raise(7, 1, 4)
    expect(flags.isRaised(7)).toBe(false)
    flags.raise(7, 1, 5)
    expect(flags.isRaised(7)).toBe(true)
  })

  it('is not raised by an answer of an earlier copy of the stock', () => {
    flags.lower(7, 2, 1)
    flags.raise(7, 1, 99)
    expect(flags.isRaised(7)).toBe(false)
  })

  it('remembers the latest lowering, also when an older one is heard after it', () => {
    flags.lower(7, 1, 5)
    flags.lower(7, 1, 3)
    flags.raise(7, 1, 4)
    expect(flags.isRaised(7)).toBe(false)
  })

  it('falls with all others when what was said meanwhile was not heard', () => {
    flags.raise(7, 1, 1)
    flags.raise(8, 1, 1)
    flags.lowerAll()
    expect([flags.isRaised(7), flags.isRaised(8)]).toEqual([false, false])
  })
})
