/** Upper bounds in seconds for what a person waits for, from a cached answer to a timeout. */
export const WAIT_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const

/**
 * A histogram that costs a few additions: no label object, no timer, nothing that the collector must clean up.
 *
 * prom-client's own looks its labels up as text for every value, which a purchase cannot afford.
 */
export interface Buckets {
  readonly bounds: readonly number[]
  observe(seconds: number): void
  read(): { counts: readonly number[]; count: number; sum: number }
}

export function createBuckets(bounds: readonly number[] = WAIT_SECONDS): Buckets {
  const counts = bounds.map(() => 0)
  let count = 0
  let sum = 0
  return {
    bounds,
    observe(seconds) {
      count += 1
      sum += seconds
      for (let at = 0; at < bounds.length; at += 1) {
        if (seconds <= (bounds[at] as number)) {
          counts[at] = (counts[at] as number) + 1
          return
        }
      }
    },
    read: () => ({ counts, count, sum }),
  }
}
