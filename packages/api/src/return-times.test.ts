import { describe, expect, it } from 'vitest'

import { createReturnTimes } from './return-times.ts'

describe('the times at which those who are refused may come back', () => {
  it('are spread: of a thousand in one moment only a part of those served in a second comes in any second', () => {
    const times = createReturnTimes(() => 0)
    for (let person = 0; person < 800; person += 1) times.served()
    times.look(1)
    const perSecond = new Map<number, number>()
    for (let person = 0; person < 600; person += 1) {
      const second = Math.floor(times.next() / 1_000)
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1)
    }
    expect(Math.max(...perSecond.values())).toBeLessThan(400)
    expect(perSecond.size).toBeGreaterThan(2)
  })

  it('are soon when few are refused, later the more are, and never too late', () => {
    const times = createReturnTimes(() => 0)
    for (let person = 0; person < 100; person += 1) times.served()
    times.look(1)
    expect(times.next()).toBeLessThan(2_000)
    const later = Array.from({ length: 1_000 }, () => times.next())
    expect(Math.max(...later)).toBeGreaterThan(4_000)
    expect(Math.max(...later)).toBeLessThanOrEqual(6_000)
    expect(Math.min(...later)).toBeGreaterThanOrEqual(1_000)
  })

  it('are soon again when nobody was refused for a while', () => {
    let nowMs = 0
    const times = createReturnTimes(() => nowMs)
    times.look(1)
    for (let person = 0; person < 1_000; person += 1) times.next()
    nowMs = 60_000
    expect(times.next()).toBeLessThanOrEqual(2_000)
  })
})
