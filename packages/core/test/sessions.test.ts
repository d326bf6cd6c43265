import { randomBytes } from 'node:crypto'

import { connectRedisSubscriber } from '@blitzbuy/core/redis/connect-redis'
import { SESSION_ENDED } from '@blitzbuy/core/redis/channels'
import { listen } from '@blitzbuy/core/redis/listen'
import { describe, expect, it } from 'vitest'

import {
  SESSIONS_PER_USER_MAX,
  createSessions,
  publicSessionId,
  sessionKey,
  userSessionsKey,
  type SessionLimits,
} from '../src/user/sessions.ts'
import { newUserId, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
const newId = () => randomBytes(24).toString('base64url')
const cookie = { expires: null }
const accountOf = (userId: number) => ({
  userId,
  nickname: 'Ada',
  phoneMasked: '+86 138****8000',
  role: 'shopper' as const,
})
const HOUR: SessionLimits = { idleSeconds: 3_600, absoluteSeconds: 24 * 3_600 }
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function begin(sessions = createSessions(stores.redis, HOUR), userId = newUserId()) {
  const sessionId = newId()
  await sessions.write(sessionId, { account: accountOf(userId), device: 'Firefox on Linux', cookie })
  return { sessionId, userId, sessions }
}

describe('a session', () => {
  it('that is not used ends by the idle limit, here and in Redis', async () => {
    const { sessionId, sessions } = await begin(
      createSessions(stores.redis, { idleSeconds: 1, absoluteSeconds: 60 }),
    )
    expect(await sessions.read(sessionId)).toBeDefined()
    await later(1_100)
    expect(sessions.peek(sessionId)).toBeUndefined()
    expect(await sessions.read(sessionId)).toBeUndefined()
    expect(await stores.redis.exists(sessionKey(sessionId))).toBe(0)
  })

  it('that is used goes on beyond the idle limit, and not beyond the absolute one', async () => {
    const limits = { idleSeconds: 1, absoluteSeconds: 3 }
    const { sessionId } = await begin(createSessions(stores.redis, limits))
    const beganMs = Date.now()
    let livedMs = 0
    while (Date.now() - beganMs < 4_000) {
      // Without a local copy each time, as an instance does every five seconds.
      if (!(await createSessions(stores.redis, limits).read(sessionId))) break
      livedMs = Date.now() - beganMs
      await later(100)
    }
    expect(livedMs).toBeGreaterThan(2_000)
    expect(livedMs).toBeLessThan(3_100)
  })

  it('is marked as seen once a minute at most, however often it is used', async () => {
    const { sessionId, userId } = await begin()
    await stores.redis.zadd(userSessionsKey(userId), '1', sessionId)
    for (let times = 0; times < 20; times += 1) await createSessions(stores.redis, HOUR).read(sessionId)
    expect(await stores.redis.zscore(userSessionsKey(userId), sessionId)).toBe('1')

    await stores.redis.pexpire(sessionKey(sessionId), 3_600_000 - 61_000)
    await createSessions(stores.redis, HOUR).read(sessionId)
    await expect.poll(() => stores.redis.pttl(sessionKey(sessionId))).toBeGreaterThan(3_595_000)
    expect(Number(await stores.redis.zscore(userSessionsKey(userId), sessionId))).toBeGreaterThan(1)
  })

  it('of nobody is kept nowhere', async () => {
    const sessions = createSessions(stores.redis, HOUR)
    const sessionId = newId()
    await sessions.write(sessionId, { cookie })
    expect(await stores.redis.exists(sessionKey(sessionId))).toBe(0)
    expect(sessions.peek(sessionId)).toBeUndefined()
  })

  it('that was ended while it was being read is not kept by whoever reads', async () => {
    const { sessionId } = await begin()
    const reader = createSessions(stores.redis, HOUR)
    const reading = reader.read(sessionId)
    reader.forget(sessionId)
    expect(await reading).toBeUndefined()
    expect(reader.peek(sessionId)).toBeUndefined()
  })

  it('cannot be brought back by being seen', async () => {
    const { sessionId, userId, sessions } = await begin()
    await stores.redis.pexpire(sessionKey(sessionId), 3_000_000)
    const reader = createSessions(stores.redis, HOUR)
    await Promise.all([reader.read(sessionId), sessions.end(sessionId), reader.read(sessionId)])
    await later(50)
    expect(await stores.redis.exists(sessionKey(sessionId))).toBe(0)
    expect(await stores.redis.zscore(userSessionsKey(userId), sessionId)).toBeNull()
  })
})

describe("a person's sessions", () => {
  it('are listed under names that are not their ids, last seen first', async () => {
    const { sessionId, userId, sessions } = await begin()
    const { sessionId: other } = await begin(sessions, userId)
    const list = await sessions.listOf(userId, sessionId)
    expect(list.map(({ id }) => id).toSorted()).toEqual([sessionId, other].map(publicSessionId).toSorted())
    expect(list.find(({ isThis }) => isThis)?.id).toBe(publicSessionId(sessionId))
    expect(list[0]).toMatchObject({ device: 'Firefox on Linux', createdAtMs: expect.any(Number) })
    expect(JSON.stringify(list)).not.toContain(sessionId)
  })

  it('leave the index by themselves once they are over', async () => {
    const { sessionId, userId, sessions } = await begin()
    const { sessionId: live } = await begin(sessions, userId)
    await stores.redis.del(sessionKey(sessionId))
    expect(await sessions.listOf(userId, live)).toHaveLength(1)
    expect(await stores.redis.zcard(userSessionsKey(userId))).toBe(1)
    expect(await stores.redis.pttl(userSessionsKey(userId))).toBeGreaterThan(0)
  })

  it('are bounded: the one that was not seen for longest ends', async () => {
    const sessions = createSessions(stores.redis, HOUR)
    const userId = newUserId()
    const first = await begin(sessions, userId)
    await later(2)
    for (let times = 0; times < SESSIONS_PER_USER_MAX; times += 1) await begin(sessions, userId)
    expect(await sessions.listOf(userId, '')).toHaveLength(SESSIONS_PER_USER_MAX)
    expect(await sessions.read(first.sessionId)).toBeUndefined()
  })

  it("end one by one, and never somebody else's", async () => {
    const mine = await begin()
    const theirs = await begin(mine.sessions)
    expect(await mine.sessions.endOwn(mine.userId, publicSessionId(theirs.sessionId))).toBe(false)
    expect(await mine.sessions.endOwn(mine.userId, mine.sessionId)).toBe(false)
    expect(await mine.sessions.endOwn(mine.userId, publicSessionId(mine.sessionId))).toBe(true)
    expect(await mine.sessions.read(mine.sessionId)).toBeUndefined()
    expect(await mine.sessions.read(theirs.sessionId)).toBeDefined()
  })

  it('end all at once on every instance, but for the one to keep', async () => {
    const here = createSessions(stores.redis, HOUR)
    const elsewhere = createSessions(stores.redis, HOUR)
    const subscriber = connectRedisSubscriber({ url: stores.redisUrl })
    let isListening = false
    listen(subscriber, stores.redis, {
      'units-rose': () => undefined,
      'blacklist-changed': () => undefined,
      'orders-decided': () => undefined,
      [SESSION_ENDED]: (ids) => ids.split(',').forEach((id) => elsewhere.forget(id)),
      onSubscribed: () => (isListening = true),
    })
    await expect.poll(() => isListening).toBe(true)
    const userId = newUserId()
    const ids = [await begin(here, userId), await begin(here, userId), await begin(here, userId)].map(
      (session) => session.sessionId,
    ) as [string, string, string]
    for (const id of ids) expect(await elsewhere.read(id)).toBeDefined()

    await here.endAllOf(userId, ids[2])
    expect(await Promise.all(ids.map((id) => here.read(id)))).toEqual([
      undefined,
      undefined,
      expect.anything(),
    ])
    await expect.poll(() => [elsewhere.peek(ids[0]), elsewhere.peek(ids[1])]).toEqual([undefined, undefined])
    expect(elsewhere.peek(ids[2])).toBeDefined()
    subscriber.disconnect()
  })
})
