import { WAIT_SECONDS } from '@blitzbuy/core/metrics/buckets'
import { redisAnswer, type Redis } from '@blitzbuy/core/redis/connect-redis'
import type { RedisClock } from '@blitzbuy/core/redis/redis-clock'

import { PURCHASE_OUTCOMES, type ApiMetrics, type PurchaseCount } from './api-metrics.ts'

/** What all instances answered to tries to buy within one second. */
export interface AttemptSecond {
  second: number
  outcomes: Partial<Record<PurchaseCount, number>>
}

/** Of the answers to all tries, of all sales; undefined when there were none. */
export interface AttemptTimes {
  p50Ms: number
  p99Ms: number
}

/**
 * The tries to buy by the second, of all instances together, for the last quarter of an hour.
 *
 * Each instance counts in memory, as it does for `/metrics`, and adds to Redis once a second what has come since: a
 * purchase costs nothing more, a sale without tries not even that.
 */
export interface AttemptLog {
  /** To be called once a second. */
  write(): Promise<void>
  /** Those seconds of them in which something was answered. */
  read(saleId: number, fromSecond: number, toSecond: number): Promise<AttemptSecond[]>
  readTimes(fromSecond: number, toSecond: number): Promise<AttemptTimes | undefined>
}

const KEPT_SECONDS = 15 * 60
const MINUTE = 60
/** What took longer than the last bucket is told as this. */
const BEYOND_SECONDS = 10

/** A minute of a sale: `second:outcome` → how many. */
export function attemptsKey(saleId: string, minute: number): string {
  return `{sale:${saleId}}:attempts:${minute}`
}

/** A minute of all sales: `second:bucket` → how many answers took so long. */
export function attemptTimesKey(minute: number): string {
  return `attempt-times:${minute}`
}

export function createAttemptLog(deps: {
  redis: Redis
  metrics: Pick<ApiMetrics, 'attempts' | 'attemptTimes'>
  clock: Pick<RedisClock, 'nowMs'>
}): AttemptLog {
  const { redis, metrics, clock } = deps
  let attemptsBefore = new Map<string, number>()
  let timesBefore: readonly number[] = []

  async function readMinutes(
    keyOf: (minute: number) => string,
    fromSecond: number,
    toSecond: number,
  ): Promise<{ second: number; name: string; value: number }[]> {
    const minutes: number[] = []
    for (let minute = Math.floor(fromSecond / MINUTE); minute <= Math.floor(toSecond / MINUTE); minute += 1)
      minutes.push(minute)
    const hashes = await redisAnswer(Promise.all(minutes.map((minute) => redis.hgetall(keyOf(minute)))))
    return hashes.flatMap((hash, at) =>
      Object.entries(hash).flatMap(([field, value]) => {
        const [offset = '', name = ''] = field.split(':')
        const second = (minutes[at] ?? 0) * MINUTE + Number(offset)
        return second >= fromSecond && second <= toSecond ? [{ second, name, value: Number(value) }] : []
      }),
    )
  }

  return {
    async write() {
      const second = Math.floor(clock.nowMs() / 1000)
      const minute = Math.floor(second / MINUTE)
      const pipeline = redis.pipeline()
      const keys = new Set<string>()
      const add = (key: string, name: string | number, count: number): void => {
        if (count <= 0) return
        pipeline.hincrby(key, `${second % MINUTE}:${name}`, count)
        keys.add(key)
      }

      const attempts = new Map<string, number>()
      for (const { sale, outcome, value } of metrics.attempts.read()) {
        if (value === 0) continue
        attempts.set(`${sale}:${outcome}`, value)
        if (sale !== 'other')
          add(attemptsKey(sale, minute), outcome, value - (attemptsBefore.get(`${sale}:${outcome}`) ?? 0))
      }
      const times = metrics.attemptTimes()
      times.forEach((count, at) => add(attemptTimesKey(minute), at, count - (timesBefore[at] ?? 0)))
      // Before it is sent: what may have arrived is never added twice.
      attemptsBefore = attempts
      timesBefore = times
      if (keys.size === 0) return
      for (const key of keys) pipeline.expire(key, KEPT_SECONDS)
      await redisAnswer(pipeline.exec())
    },

    async read(saleId, fromSecond, toSecond) {
      const found = await readMinutes((minute) => attemptsKey(String(saleId), minute), fromSecond, toSecond)
      const bySecond = new Map<number, AttemptSecond>()
      for (const { second, name, value } of found) {
        const outcome = PURCHASE_OUTCOMES.find((known) => known === name)
        // Of an instance of another release.
        if (!outcome) continue
        const entry = bySecond.get(second) ?? { second, outcomes: {} }
        entry.outcomes[outcome] = value
        bySecond.set(second, entry)
      }
      return [...bySecond.values()].toSorted((one, other) => one.second - other.second)
    },

    async readTimes(fromSecond, toSecond) {
      const counts = [...WAIT_SECONDS, BEYOND_SECONDS].map(() => 0)
      for (const { name, value } of await readMinutes(attemptTimesKey, fromSecond, toSecond))
        if (Number(name) < counts.length) counts[Number(name)] = (counts[Number(name)] ?? 0) + value
      const total = counts.reduce((sum, count) => sum + count, 0)
      if (total === 0) return undefined
      return { p50Ms: quantileMs(counts, total * 0.5), p99Ms: quantileMs(counts, total * 0.99) }
    },
  }
}

/** The upper bound of the bucket in which the answer with this rank lies. */
function quantileMs(counts: readonly number[], rank: number): number {
  let below = 0
  for (const [at, count] of counts.entries()) {
    below += count
    if (below >= rank) return (WAIT_SECONDS[at] ?? BEYOND_SECONDS) * 1000
  }
  return BEYOND_SECONDS * 1000
}
