import type { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'

import { createRedisClock } from './redis-clock.ts'

describe('the clock of Redis as a process knows it', () => {
  const clockAt = (start: number) => {
    let nowMs = start
    const clock = createRedisClock({} as Redis, () => nowMs)
    return { clock, pass: (ms: number) => (nowMs += ms) }
  }

  it('goes on by itself between two answers, whatever the host’s clock says', () => {
    const { clock, pass } = clockAt(0)
    clock.observe(1_000_000)
    pass(250)
    expect(clock.nowMs()).toBe(1_000_250)
  })

  it('is not set back by an answer that lay unread while the process was busy', () => {
    const { clock, pass } = clockAt(0)
    clock.observe(1_000_000)
    pass(1_000)
    clock.observe(1_000_300)
    expect(clock.nowMs()).toBe(1_001_000)
  })

  it('follows at once when Redis is ahead, and after half a minute when it was set back', () => {
    const { clock, pass } = clockAt(0)
    clock.observe(1_000_000)
    clock.observe(1_000_700)
    expect(clock.nowMs()).toBe(1_000_700)
    pass(30_001)
    clock.observe(1_020_000)
    expect(clock.nowMs()).toBe(1_020_000)
  })

  it('believes its first answer, also when the host’s clock is ahead', () => {
    const { clock } = clockAt(0)
    clock.observe(5)
    expect(clock.nowMs()).toBe(5)
  })
})
