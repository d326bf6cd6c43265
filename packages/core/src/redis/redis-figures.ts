import type { Redis } from 'ioredis'

import { redisAnswer } from './connect-redis.ts'

/** What Redis says of itself that tells trouble early. */
export interface RedisFigures {
  usedMemoryBytes: number
  /** 0: no limit. */
  maxMemoryBytes: number
  evictedKeys: number
  rejectedConnections: number
  connectedClients: number
}

export async function readRedisFigures(redis: Redis): Promise<RedisFigures> {
  const text = await redisAnswer(redis.info())
  const read = (field: string): number => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  return {
    usedMemoryBytes: read('used_memory'),
    maxMemoryBytes: read('maxmemory'),
    evictedKeys: read('evicted_keys'),
    rejectedConnections: read('rejected_connections'),
    connectedClients: read('connected_clients'),
  }
}
