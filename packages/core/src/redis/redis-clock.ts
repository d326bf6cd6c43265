import type { Redis } from 'ioredis'

import { redisAnswer } from './connect-redis.ts'

/**
 * Redis' time as this process knows it: the last answer's time plus what has passed here since.
 *
 * The host's own clock is asked only before the first answer, and decides nothing.
 */
export interface RedisClock {
  nowMs(): number
  /** Takes the time that came with an answer. */
  observe(redisNowMs: number): void
  /** Asks Redis; called at every (re)connection. */
  refresh(): Promise<void>
}

/** Longer than any stall of a process that still works; a clock that was set back is followed after this. */
const BEST_ANSWER_MS = 30_000

export function createRedisClock(
  redis: Redis,
  monotonicMs: () => number = () => performance.now(),
): RedisClock {
  let offsetMs = performance.timeOrigin
  // The host's clock is only a stopgap: the first answer replaces it, whichever is ahead.
  let observedAtMs = Number.NEGATIVE_INFINITY

  // An answer that lay here unread tells a time that is past: the highest offset is the truest.
  const observe = (redisNowMs: number): void => {
    const nowMs = monotonicMs()
    const isTruer = redisNowMs - nowMs >= offsetMs
    if (!isTruer && nowMs - observedAtMs < BEST_ANSWER_MS) return
    offsetMs = redisNowMs - nowMs
    observedAtMs = nowMs
  }
  return {
    nowMs: () => Math.round(monotonicMs() + offsetMs),
    observe,
    async refresh() {
      const [seconds, microseconds] = await redisAnswer(redis.time())
      observe(Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000))
    },
  }
}
