import { clockOffsetMs } from '@blitzbuy/core/metrics/store-metrics'
import type { Redis } from '@blitzbuy/core/redis/connect-redis'

import { judge, type Finding } from './finding.ts'

export const CLOCK_OFFSET_MAX_MS = 250
const VERSION_MIN = [6, 2] as const

export async function checkRedis(redis: Redis, now: () => number): Promise<Finding[]> {
  const info = await redis.info()
  const field = (name: string): string => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1] ?? ''
  const [major = 0, minor = 0] = field('redis_version').split('.').map(Number)
  const isNew = major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1])
  const policy = field('maxmemory_policy')
  const fsync = await setting(redis, 'appendfsync')
  const offsetMs = await clockOffsetMs(async () => {
    const [seconds, micros] = await redis.time()
    return Number(seconds) * 1000 + Number(micros) / 1000
  }, now)
  return [
    judge('redis version', isNew, field('redis_version'), 'Redis 6.2 or newer is needed (GETDEL).'),
    judge(
      'redis eviction policy',
      policy === 'noeviction',
      policy,
      'CONFIG SET maxmemory-policy noeviction, and the same in redis.conf: an evicted hold is a unit sold twice.',
    ),
    judge(
      'redis append-only file',
      field('aof_enabled') === '1',
      field('aof_enabled') === '1' ? 'on' : 'off',
      'CONFIG SET appendonly yes, and the same in redis.conf: without it a restart loses every hold.',
    ),
    judge(
      'redis appendfsync',
      fsync === undefined || fsync === 'everysec' || fsync === 'always',
      fsync ?? 'unknown (CONFIG is not allowed)',
      'CONFIG SET appendfsync everysec, and the same in redis.conf: a crash may else lose half a minute.',
    ),
    judge(
      'redis clock',
      Math.abs(offsetMs) <= CLOCK_OFFSET_MAX_MS,
      `${Math.round(offsetMs)} ms from this host`,
      'Synchronise the clocks of all hosts (chrony or systemd-timesyncd): sales open by the clock of Redis.',
    ),
  ]
}

/** Hosted Redis often refuses CONFIG. */
async function setting(redis: Redis, name: string): Promise<string | undefined> {
  try {
    const [, value] = (await redis.config('GET', name)) as string[]
    return value
  } catch {
    return undefined
  }
}
