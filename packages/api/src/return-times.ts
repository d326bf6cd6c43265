/** A refusal asks for a part of the time that its answer would; nobody is to come back for another one. */
const RETURNS_PER_SERVED = 0.25
const RETRY_AFTER_MS = { min: 1_000, max: 6_000 }
/** How much the newest look counts in the mean. */
const MEAN_WEIGHT = 0.2

export interface ReturnTimes {
  /** Somebody was served while others are refused. */
  served(): void
  look(seconds: number): void
  /** In how many ms the next one who is refused may come back. */
  next(): number
}

/**
 * Spreads the returns of those who are refused: in a second no more than a part of those who are served come back.
 *
 * Who came back all the same moment, or sooner than there is room, would only be refused again. So the more are refused,
 * the later they are asked to come.
 */
export function createReturnTimes(now: () => number = () => performance.now()): ReturnTimes {
  let servedCount = 0
  let servedPerSecond: number | undefined
  let nextAtMs = 0

  return {
    served: () => void (servedCount += 1),
    look(seconds) {
      const newest = servedCount / seconds
      servedCount = 0
      servedPerSecond =
        servedPerSecond === undefined ? newest : servedPerSecond + (newest - servedPerSecond) * MEAN_WEIGHT
    },
    next() {
      const nowMs = now()
      const { min, max } = RETRY_AFTER_MS
      const everyMs = 1_000 / Math.max(1, (servedPerSecond ?? 0) * RETURNS_PER_SERVED)
      nextAtMs = Math.min(Math.max(nextAtMs, nowMs + min) + everyMs, nowMs + max)
      // Beyond the longest wait they still do not come in one moment.
      const spreadMs = nextAtMs >= nowMs + max ? Math.random() * (max / 2) : Math.random() * min
      return Math.round(Math.min(max, Math.max(min, nextAtMs - nowMs - spreadMs)))
    },
  }
}
