import type { Redis } from 'ioredis'

import { createRecentMap } from '../recent-map.ts'
import { bindScript, type LuaScript } from '../redis/lua-script.ts'
import { limitKey } from './gate-keys.ts'

/** So many requests per window; windows begin with a bucket's first request. */
export interface Limit {
  max: number
  windowMs: number
}

/** A setting `max/seconds`. */
export function readLimit(setting: string): Limit {
  const [max, seconds] = setting.split('/').map(Number)
  return { max: max as number, windowMs: (seconds as number) * 1_000 }
}

/** How a bucket stands after a request was counted in it. */
export interface Taken {
  count: number
  /** Until its window ends and it is empty again. */
  leftMs: number
}

/**
 * Buckets in this process alone: no trip. Two instances allow twice as much together.
 *
 * The least recently used are forgotten, so that a flood of addresses cannot fill the memory.
 */
export type LocalBuckets = (key: string | number) => Taken

/** About 200 bytes each. */
const LOCAL_BUCKETS_MAX = 50_000

export function createLocalBuckets(
  { windowMs }: Pick<Limit, 'windowMs'>,
  now: () => number = () => performance.now(),
): LocalBuckets {
  const buckets = createRecentMap<string | number, Taken & { endsAtMs: number }>(LOCAL_BUCKETS_MAX)

  return (key) => {
    const nowMs = now()
    const bucket = buckets.get(key)
    if (!bucket) {
      const first = { count: 1, leftMs: windowMs, endsAtMs: nowMs + windowMs }
      buckets.set(key, first)
      return first
    }
    if (bucket.endsAtMs <= nowMs) {
      bucket.count = 0
      bucket.endsAtMs = nowMs + windowMs
    }
    bucket.count += 1
    bucket.leftMs = bucket.endsAtMs - nowMs
    return bucket
  }
}

/** The typed face of lua/count-request.lua. */
export const countRequestScript = {
  file: 'count-request',
  keys: ['bucket'],
  args: ['windowMs'],
  entry: [],
  decode: (reply: unknown): Taken => {
    const [count, leftMs] = reply as [number, number]
    return { count, leftMs }
  },
} as const satisfies LuaScript

/** Buckets that all instances share. */
export type SharedBuckets = (key: string, windowMs: number) => Promise<Taken>

/** @throws StoreAway when Redis does not answer. */
export function createSharedBuckets(redis: Redis): SharedBuckets {
  const run = bindScript(redis, countRequestScript)
  return (key, windowMs) => run({ bucket: limitKey(key) }, { windowMs })
}
