import type { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'

import { SESSION_ENDED, channelOf } from '../redis/channels.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import type { Account } from './accounts.ts'

/** What a session holds beside the cookie's own settings. */
export interface SessionContent {
  account?: Account
  cookie: { expires?: Date | string | null; originalMaxAge?: number | null }
}

export interface LiveSession {
  account: Account | undefined
  expiresAtMs: number
  /** The session as it is stored, JSON. */
  content: string
}

export interface Sessions {
  /** From the local copy if it is a few seconds old at most, else from Redis; undefined when there is none. */
  read(sessionId: string): Promise<LiveSession | undefined>
  /** The local copy alone: no trip, or undefined when there is none. */
  peek(sessionId: string): LiveSession | undefined
  write(sessionId: string, content: SessionContent): Promise<void>
  /** Ends the session on every instance. */
  end(sessionId: string): Promise<void>
  /** Drops the local copy: the session was ended by another instance. */
  forget(sessionId: string): void
  forgetAll(): void
}

export const SESSION_TTL_SECONDS = 7 * 24 * 3600
/** Should the message that a session has ended be lost, its local copy lives on for this long at most. */
const LOCAL_TTL_MS = 5_000
const LOCAL_MAX = 100_000

export function sessionKey(sessionId: string): string {
  return `session:${sessionId}`
}

/** Sessions in Redis, shared by all instances, with a local copy in front. */
export function createSessions(redis: Redis, now: () => number = Date.now): Sessions {
  const local = new LRUCache<string, LiveSession>({ max: LOCAL_MAX, ttl: LOCAL_TTL_MS })

  const peek = (sessionId: string): LiveSession | undefined => {
    const session = local.get(sessionId)
    return session && session.expiresAtMs > now() ? session : undefined
  }

  return {
    peek,

    async read(sessionId) {
      const known = peek(sessionId)
      if (known) return known
      const content = await redisAnswer(redis.get(sessionKey(sessionId)))
      if (content === null) return undefined
      const session = liveSession(content)
      if (session.expiresAtMs <= now()) return undefined
      local.set(sessionId, session)
      return session
    },

    async write(sessionId, content) {
      const text = JSON.stringify(content)
      const session = liveSession(text)
      const ttlMs = Math.max(1, session.expiresAtMs - now())
      await redisAnswer(redis.set(sessionKey(sessionId), text, 'PX', ttlMs))
      local.set(sessionId, session)
    },

    async end(sessionId) {
      local.delete(sessionId)
      await redisAnswer(redis.del(sessionKey(sessionId)))
      await redisAnswer(redis.publish(channelOf(redis, SESSION_ENDED), sessionId))
    },

    forget: (sessionId) => void local.delete(sessionId),
    forgetAll: () => local.clear(),
  }
}

function liveSession(content: string): LiveSession {
  const { account, cookie } = JSON.parse(content) as SessionContent
  const expiresAtMs = cookie.expires ? new Date(cookie.expires).getTime() : 0
  return { account, expiresAtMs, content }
}
