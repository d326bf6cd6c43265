import { createHash } from 'node:crypto'

import type { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'

import { createRecentMap, type RecentMap } from '../recent-map.ts'
import { SESSION_ENDED, channelOf } from '../redis/channels.ts'
import { redisAnswer, toRedisFault } from '../redis/connect-redis.ts'
import type { Account } from './accounts.ts'

/** What a session holds beside the cookie's own settings. */
export interface SessionContent {
  account?: Account
  createdAtMs?: number
  /** Words of describeBrowser, for the list of one's own sessions. */
  device?: string
  cookie: { expires?: Date | string | null; originalMaxAge?: number | null }
}

export interface LiveSession {
  account: Account | undefined
  /** By both limits, as far as is known here. */
  expiresAtMs: number
  /** The session as it is stored, JSON. */
  content: string
}

/** One of a person's sessions, as they may see it. */
export interface OwnSession {
  /** Names the session to its owner, and is worth nothing as a cookie. */
  id: string
  createdAtMs: number
  /** To the minute. */
  lastSeenAtMs: number
  device: string
  isThis: boolean
}

export interface SessionLimits {
  /** A session that is not used for so long ends. */
  idleSeconds: number
  /** A session ends so long after the login, however much it is used. */
  absoluteSeconds: number
}

export interface Sessions {
  /** From the local copy if it is a few seconds old at most, else from Redis; undefined when there is none. */
  read(sessionId: string): Promise<LiveSession | undefined>
  /** The local copy alone: no trip, or undefined when there is none. */
  peek(sessionId: string): LiveSession | undefined
  /** Keeps the session of an account; one that belongs to nobody is kept nowhere. */
  write(sessionId: string, content: SessionContent): Promise<void>
  /** Ends the session on every instance. */
  end(sessionId: string): Promise<void>
  /** Ends all sessions of a person on every instance, but for the one to keep. */
  endAllOf(userId: number, keep?: string): Promise<void>
  /** Ends one of this person's sessions by its public id; false when they have no such session. */
  endOwn(userId: number, id: string): Promise<boolean>
  /** Those that live, the last seen first. */
  listOf(userId: number, thisSessionId: string): Promise<OwnSession[]>
  /** Drops the local copy: the session was ended by another instance. */
  forget(sessionId: string): void
  forgetAll(): void
}

export const SESSION_LIMITS: SessionLimits = { idleSeconds: 24 * 3600, absoluteSeconds: 7 * 24 * 3600 }
/** Beyond these the one that was not seen for longest ends. */
export const SESSIONS_PER_USER_MAX = 20
/** Should the message that a session has ended be lost, its local copy lives on for this long at most. */
const LOCAL_TTL_MS = 5_000
/** 91 MiB when full, with the longest names there can be; scripts/measure-local-sessions.ts measures it. */
export const LOCAL_SESSIONS_MAX = 100_000
/** How often "last seen" is written at most, however often the session is used. */
const SEEN_AFTER_MS = 60_000
/** Longer than any read takes that began before the end of its session was heard. */
const ENDED_KNOWN_MS = 10_000

/** A session as this process knows it, until it has to ask again. */
export interface LocalSession extends LiveSession {
  /** By performance.now(): no clock that is set can prolong it. */
  believedUntilMs: number
}

export function createLocalSessions(): RecentMap<string, LocalSession> {
  return createRecentMap(LOCAL_SESSIONS_MAX)
}

export function sessionKey(sessionId: string): string {
  return `session:${sessionId}`
}

/** The index of a person's sessions: session ids by when they were last seen. */
export function userSessionsKey(userId: number): string {
  return `user:${userId}:sessions`
}

/** A session by a name that cannot be turned back into its id. */
export function publicSessionId(sessionId: string): string {
  return createHash('sha256').update(`session:${sessionId}`).digest('base64url').slice(0, 22)
}

/**
 * Sessions in Redis, shared by all instances, with a local copy in front.
 *
 * The idle limit is the life of the key in Redis: prolonging it cannot bring back a session that has just been ended,
 * and its content is never written twice.
 */
export function createSessions(
  redis: Redis,
  { idleSeconds, absoluteSeconds }: SessionLimits = SESSION_LIMITS,
  now: () => number = Date.now,
): Sessions {
  const idleMs = idleSeconds * 1000
  const absoluteMs = absoluteSeconds * 1000
  const seenAfterMs = Math.min(SEEN_AFTER_MS, idleMs / 2)
  const local = createLocalSessions()
  /** Of sessions that were ended a moment ago: a read under way may still bring their content. */
  const endedLately = new LRUCache<string, true>({ max: LOCAL_SESSIONS_MAX, ttl: ENDED_KNOWN_MS })
  let forgotAllTimes = 0

  const peek = (sessionId: string): LiveSession | undefined => {
    const session = local.get(sessionId)
    if (session === undefined || session.believedUntilMs <= performance.now()) return undefined
    return session.expiresAtMs > now() ? session : undefined
  }

  const remember = (sessionId: string, session: LiveSession): void =>
    local.set(sessionId, { ...session, believedUntilMs: performance.now() + LOCAL_TTL_MS })

  const forget = (sessionId: string): void => {
    local.delete(sessionId)
    endedLately.set(sessionId, true)
  }

  /** How long from now a session may live that is used now. */
  const lifeMs = (createdAtMs: number): number => Math.min(idleMs, createdAtMs + absoluteMs - now())

  /** Nobody waits for it: with Redis away the session is as old as it is. */
  const seen = (sessionId: string, userId: number | undefined, leftMs: number): void => {
    const prolonged: Promise<unknown>[] = [redis.pexpire(sessionKey(sessionId), Math.max(1, leftMs))]
    if (userId !== undefined) {
      prolonged.push(
        redis.zadd(userSessionsKey(userId), 'XX', String(now()), sessionId),
        redis.pexpire(userSessionsKey(userId), idleMs),
      )
    }
    void Promise.all(prolonged).catch(() => undefined)
  }

  async function endMany(userId: number | undefined, sessionIds: string[]): Promise<void> {
    if (sessionIds.length === 0) return
    sessionIds.forEach(forget)
    await redisAnswer(redis.unlink(...sessionIds.map(sessionKey)))
    if (userId !== undefined) await redisAnswer(redis.zrem(userSessionsKey(userId), ...sessionIds))
    await redisAnswer(redis.publish(channelOf(redis, SESSION_ENDED), sessionIds.join(',')))
  }

  const readStored = createReadStored(redis)

  const idsOf = (userId: number): Promise<string[]> =>
    redisAnswer(redis.zrange(userSessionsKey(userId), '0', '-1'))

  return {
    peek,
    forget,

    async read(sessionId) {
      const known = peek(sessionId)
      if (known) return known
      if (endedLately.has(sessionId)) return undefined
      const timesBefore = forgotAllTimes
      const key = sessionKey(sessionId)
      const { content, ttlMs } = await readStored(key)
      if (content === null || ttlMs === -2 || endedLately.has(sessionId)) return undefined
      const { account, createdAtMs } = parseContent(content)
      const mayLiveMs = lifeMs(createdAtMs)
      if (mayLiveMs <= 0) return undefined
      // A key without an end (-1) would outlive every limit.
      const isSeenLater = ttlMs < 0 || Math.abs(mayLiveMs - ttlMs) >= seenAfterMs
      if (isSeenLater) seen(sessionId, account?.userId, mayLiveMs)
      const leftMs = isSeenLater ? mayLiveMs : Math.min(ttlMs, mayLiveMs)
      const session = { account, expiresAtMs: now() + leftMs, content }
      if (timesBefore === forgotAllTimes) remember(sessionId, session)
      return session
    },

    async write(sessionId, content) {
      const { account } = content
      if (!account) return
      const createdAtMs = content.createdAtMs ?? now()
      const text = JSON.stringify({ ...content, createdAtMs })
      const leftMs = Math.max(1, lifeMs(createdAtMs))
      const index = userSessionsKey(account.userId)
      // The index first: a session that it does not name could not be ended with the others.
      const replies = await redis
        .pipeline()
        .zremrangebyscore(index, '-inf', now() - idleMs)
        .zadd(index, String(now()), sessionId)
        .pexpire(index, idleMs)
        .zrange(index, '0', String(-SESSIONS_PER_USER_MAX - 1))
        .set(sessionKey(sessionId), text, 'PX', leftMs)
        .exec()
      for (const [error] of replies ?? []) if (error) throw toRedisFault(error)
      remember(sessionId, { account, expiresAtMs: now() + leftMs, content: text })
      await endMany(account.userId, (replies?.[3]?.[1] as string[] | undefined) ?? [])
    },

    async end(sessionId) {
      const content = await redisAnswer(redis.get(sessionKey(sessionId)))
      await endMany(content === null ? undefined : parseContent(content).account?.userId, [sessionId])
    },

    async endAllOf(userId, keep) {
      await endMany(
        userId,
        (await idsOf(userId)).filter((sessionId) => sessionId !== keep),
      )
    },

    async endOwn(userId, id) {
      const sessionId = (await idsOf(userId)).find((each) => publicSessionId(each) === id)
      if (sessionId === undefined) return false
      await endMany(userId, [sessionId])
      return true
    },

    async listOf(userId, thisSessionId) {
      const index = userSessionsKey(userId)
      const flat = await redisAnswer(redis.zrevrange(index, 0, -1, 'WITHSCORES'))
      const entries = pairs(flat)
      if (entries.length === 0) return []
      const contents = await redisAnswer(redis.mget(entries.map(([sessionId]) => sessionKey(sessionId))))
      const gone: string[] = []
      const own = entries.flatMap(([sessionId, lastSeenAtMs], at): OwnSession[] => {
        const content = contents[at]
        if (content == null) {
          gone.push(sessionId)
          return []
        }
        const { createdAtMs, device } = parseContent(content)
        return [
          {
            id: publicSessionId(sessionId),
            createdAtMs,
            lastSeenAtMs: Math.max(createdAtMs, Math.floor(lastSeenAtMs / SEEN_AFTER_MS) * SEEN_AFTER_MS),
            device,
            isThis: sessionId === thisSessionId,
          },
        ]
      })
      if (gone.length > 0) await redisAnswer(redis.zrem(index, ...gone))
      return own
    },

    forgetAll() {
      forgotAllTimes += 1
      local.clear()
    },
  }
}

interface Stored {
  content: string | null
  /** -2 when there is none, -1 when it has no end. */
  ttlMs: number
}

/**
 * Reads a session and its time left. Everybody who asks in one turn of the event loop shares one trip: at an opening
 * thousands come whose session this process has not seen yet, and a write to the socket for each costs more than all
 * else that is done for them.
 */
function createReadStored(redis: Redis): (key: string) => Promise<Stored> {
  let keys: string[] = []
  let replies: Promise<Stored[]> | undefined

  const readAll = async (): Promise<Stored[]> => {
    await new Promise<void>((resolve) => setImmediate(resolve))
    const asked = keys
    keys = []
    replies = undefined
    const pipeline = redis.pipeline().mget(asked)
    for (const key of asked) pipeline.pttl(key)
    const [contents, ...ttls] = await redisAnswer(execute(pipeline))
    return asked.map((_key, at) => ({
      content: (contents as (string | null)[])[at] ?? null,
      ttlMs: Number(ttls[at]),
    }))
  }

  return async (key) => {
    const at = keys.push(key) - 1
    replies ??= readAll()
    return (await replies)[at] as Stored
  }
}

async function execute(pipeline: ReturnType<Redis['pipeline']>): Promise<unknown[]> {
  const replies = (await pipeline.exec()) ?? []
  return replies.map(([error, reply]) => {
    if (error) throw error
    return reply
  })
}

function parseContent(content: string): Required<Pick<SessionContent, 'createdAtMs' | 'device'>> & {
  account: Account | undefined
} {
  const { account, createdAtMs = 0, device = '' } = JSON.parse(content) as SessionContent
  return { account, createdAtMs, device }
}

/** ioredis answers WITHSCORES flat, or in pairs, by the protocol it speaks. */
function pairs(reply: unknown[]): [string, number][] {
  const flat = reply.flat().map(String)
  return Array.from({ length: flat.length / 2 }, (_, at) => [
    flat[at * 2] as string,
    Number(flat[at * 2 + 1]),
  ])
}
