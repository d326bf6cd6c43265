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

export function createRedisClock(redis: Redis): RedisClock {
  let offsetMs = performance.timeOrigin
  const observe = (redisNowMs: number): void => {
    offsetMs = redisNowMs - performance.now()
  }
  return {
    nowMs: () => Math.round(performance.now() + offsetMs),
    observe,
    async refresh() {
      const [seconds, microseconds] = await redisAnswer(redis.time())
      observe(Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000))
    },
  }
}
