/** Numbers that the seed alone decides, so that a run can be repeated. */
export interface Random {
  /** From min to max, both included. */
  between(min: number, max: number): number
  chance(probability: number): boolean
  pick<T>(things: readonly T[]): T
}

/** mulberry32: small, and good enough to choose faults with. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    between: (min, max) => min + Math.floor(next() * (max - min + 1)),
    chance: (probability) => next() < probability,
    pick: (things) => things[Math.floor(next() * things.length)] as (typeof things)[number],
  }
}
