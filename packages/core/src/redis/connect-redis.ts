import { Redis, ReplyError } from 'ioredis'

import { withDeadline } from '../deadline.ts'
import { StoreAway } from '../errors.ts'

export type { Redis } from 'ioredis'

export interface RedisOptions {
  url: string
  /** Put before every key. Channel names are not keys: they are built with it by hand. */
  namespace: string
  commandTimeoutMs?: number
}

/** A command that is not answered by then has an unknown outcome. */
export const REDIS_COMMAND_TIMEOUT_MS = 800

/**
 * One connection that fails fast and comes back by itself.
 *
 * No offline queue and no resending: a command that was not sent is refused at once, and one whose answer was
 * lost is never repeated behind the caller's back.
 */
export function connectRedis({ url, namespace, commandTimeoutMs }: RedisOptions): Redis {
  const redis = new Redis(url, {
    keyPrefix: `${namespace}:`,
    commandTimeout: commandTimeoutMs ?? REDIS_COMMAND_TIMEOUT_MS,
    // A host that vanished without a word leaves an open socket: without this it is believed in for minutes.
    socketTimeout: 3_000,
    connectTimeout: 2_000,
    maxRetriesPerRequest: 1,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    retryStrategy: (attempt) => Math.min(50 * 2 ** attempt, 1_000),
  })
  // Connection errors arrive at the callers as StoreAway and at /readyz; without a listener they would end the process.
  redis.on('error', () => undefined)
  return redis
}

/** A connection that only listens to channels; it re-subscribes by itself after every reconnect. */
export function connectRedisSubscriber({ url }: Pick<RedisOptions, 'url'>): Redis {
  const subscriber = new Redis(url, {
    connectTimeout: 2_000,
    maxRetriesPerRequest: null,
    retryStrategy: (attempt) => Math.min(50 * 2 ** attempt, 1_000),
  })
  subscriber.on('error', () => undefined)
  return subscriber
}

/** Resolves when the connection can take commands, rejects when that takes longer than `deadlineMs`. */
export async function redisReady(redis: Redis, deadlineMs: number): Promise<void> {
  if (redis.status === 'ready') return
  await withDeadline(
    new Promise<void>((resolve) => redis.once('ready', () => resolve())),
    deadlineMs,
    () => new StoreAway('redis', 'not-sent', new Error(`not connected within ${deadlineMs} ms`)),
  )
}

/** Waits for a command's answer; a fault of the connection or the server becomes StoreAway. */
export async function redisAnswer<T>(command: Promise<T>): Promise<T> {
  try {
    return await command
  } catch (error) {
    throw toRedisFault(error)
  }
}

/** LOADING, MASTERDOWN and friends come before anything is executed, and go away by themselves. */
const REFUSED_BEFORE_EXECUTION = /^(LOADING|MASTERDOWN|READONLY|NOAUTH|WRONGPASS|BUSY|CLUSTERDOWN|TRYAGAIN)\b/
/** Redis' own trouble in the middle of a writing command: what was written stays written. */
const SERVER_TROUBLE = /^(OOM|MISCONF|NOREPLICAS|UNKILLABLE)\b/

export function toRedisFault(error: unknown): unknown {
  if (error instanceof StoreAway) return error
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof ReplyError) {
    if (REFUSED_BEFORE_EXECUTION.test(message)) return new StoreAway('redis', 'not-sent', error)
    return SERVER_TROUBLE.test(message) ? new StoreAway('redis', 'unknown', error) : error
  }
  const notSent = message.includes("isn't writeable")
  return new StoreAway('redis', notSent ? 'not-sent' : 'unknown', error)
}
