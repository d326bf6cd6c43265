import { describe, expect, it } from 'vitest'

import {
  accountKeyOf,
  addressBlock,
  createLoginTries,
  loginTriesKey,
  type LoginBucket,
} from '../src/user/login-tries.ts'
import { newUserId, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
const LIMITS = { perAccount: 5, perAddress: 20, refillMs: 60_000 }
const bucketOfNobody = (): LoginBucket => ({
  of: 'account',
  accountKey: accountKeyOf(`+86138${newUserId()}`),
})

describe('a bucket of login tries', () => {
  it('gives as many as it holds, however many ask at once', async () => {
    const tries = createLoginTries(stores.redis, LIMITS)
    const bucket = bucketOfNobody()
    const outcomes = await Promise.all(Array.from({ length: 200 }, () => tries.take(bucket)))
    expect(outcomes.filter(({ kind }) => kind === 'taken')).toHaveLength(5)
    const waits = outcomes.flatMap((outcome) => (outcome.kind === 'exhausted' ? [outcome.waitMs] : []))
    expect(Math.max(...waits)).toBeLessThanOrEqual(LIMITS.refillMs / LIMITS.perAccount)
  })

  it('refills by itself, and its key is gone when it is full', async () => {
    const tries = createLoginTries(stores.redis, { ...LIMITS, perAccount: 2, refillMs: 400 })
    const bucket = bucketOfNobody()
    await tries.take(bucket)
    await tries.take(bucket)
    expect((await tries.take(bucket)).kind).toBe('exhausted')
    await expect.poll(() => tries.take(bucket), { interval: 50 }).toEqual({ kind: 'taken' })
    await expect.poll(() => stores.redis.exists(loginTriesKey(bucket))).toBe(0)
  })

  it('always has an end, and a key that lost it locks nobody out', async () => {
    const tries = createLoginTries(stores.redis, LIMITS)
    const bucket = bucketOfNobody()
    const key = loginTriesKey(bucket)
    await tries.take(bucket)
    expect(await stores.redis.pttl(key)).toBeGreaterThan(0)

    // What no code of ours writes: an end far away, none at all, or no number.
    await stores.redis.set(key, String(Date.now() + 10 ** 10))
    expect((await tries.take(bucket)) as object).toMatchObject({ kind: 'exhausted' })
    const { waitMs } = (await tries.take(bucket)) as { waitMs: number }
    expect(waitMs).toBeLessThanOrEqual(LIMITS.refillMs)
    await stores.redis.set(key, 'junk')
    expect(await tries.take(bucket)).toEqual({ kind: 'taken' })
    expect(await stores.redis.pttl(key)).toBeGreaterThan(0)
  })

  it('takes back what was no guess, one try at a time and never more than were taken', async () => {
    const tries = createLoginTries(stores.redis, LIMITS)
    const bucket = bucketOfNobody()
    for (let times = 0; times < 5; times += 1) await tries.take(bucket)
    await tries.giveBack(bucket)
    expect((await tries.take(bucket)).kind).toBe('taken')
    expect((await tries.take(bucket)).kind).toBe('exhausted')
    for (let times = 0; times < 50; times += 1) await tries.giveBack(bucket)
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => tries.take(bucket)))
    expect(outcomes.filter(({ kind }) => kind === 'taken')).toHaveLength(5)
  })

  it('is never shared: account, address and device are counted apart', async () => {
    const accountKey = accountKeyOf('+8613800138000')
    const keys = [
      loginTriesKey({ of: 'account', accountKey }),
      loginTriesKey({ of: 'address', address: '203.0.113.7' }),
      loginTriesKey({ of: 'device', deviceId: 'd', accountKey }),
      loginTriesKey({ of: 'password', userId: 7 }),
    ]
    expect(new Set(keys).size).toBe(4)
    expect(keys.join()).not.toContain('13800138000')
  })
})

describe('an address', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ])('%s counts as %s', (address, block) => {
    expect(addressBlock(address)).toBe(block)
  })
})
