import { createBlacklist, type Blacklist } from '@blitzbuy/core/gate/blacklist'
import { createBlacklistEntries, type BlacklistEntries } from '@blitzbuy/core/gate/blacklist-entries'
import { networkSubject, phoneSubject, userSubject } from '@blitzbuy/core/gate/blacklist-subject'
import { blacklistKeys, strikesKey } from '@blitzbuy/core/gate/gate-keys'
import { createSharedBuckets } from '@blitzbuy/core/gate/limits'
import { createStrikes } from '@blitzbuy/core/gate/strikes'
import { parseAddress, parseNetwork } from '@blitzbuy/core/ip-address'
import { createLog } from '@blitzbuy/core/log'
import { createExpireOrders } from '@blitzbuy/core/order/expire-orders'
import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'

import { addWarmSale, newUserId, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
const log = createLog({ name: 'test', level: 'fatal' })
const clock = { nowMs: () => Date.now() }
let entries: BlacklistEntries
let blacklist: Blacklist
beforeAll(() => {
  entries = createBlacklistEntries(stores.redis)
})
beforeEach(async () => {
  await stores.redis.del(...Object.values(blacklistKeys()))
  blacklist = createBlacklist({ entries, clock })
  await blacklist.load()
})

const OPERATOR = { cause: 'operator', reason: 'scalper' }
const network = (text: string) => networkSubject(parseNetwork(text)!)
const isBlocked = (address: string): boolean => blacklist.findAddress(parseAddress(address)!) !== undefined

describe('the blacklist', () => {
  it('finds users, phone numbers, addresses and ranges of both families, and nobody beside them', async () => {
    const subjects = [
      userSubject(7),
      phoneSubject('+8613800138000'),
      network('192.0.2.1'),
      network('198.51.100.0/22'),
      network('2001:db8:1::/48'),
      network('2001:db8:2:3::1'),
      network('10.0.0.0/8'),
    ]
    await entries.put(subjects.map((subject) => ({ subject, ...OPERATOR })))
    await blacklist.refresh()

    expect(blacklist.findUser(7)).toMatchObject(OPERATOR)
    expect(blacklist.findUser(8)).toBeUndefined()
    expect(blacklist.findPhone('+8613800138000')).toBeDefined()
    expect(blacklist.findPhone('+8613800138001')).toBeUndefined()
    for (const inside of [
      '192.0.2.1',
      '::ffff:192.0.2.1',
      '198.51.100.0',
      '198.51.103.255',
      '10.255.255.255',
      '2001:db8:1::',
      '2001:db8:1:ffff:ffff:ffff:ffff:ffff',
      '2001:db8:2:3::1',
    ]) {
      expect([inside, isBlocked(inside)]).toEqual([inside, true])
    }
    for (const outside of [
      '192.0.2.0',
      '192.0.2.2',
      '198.51.99.255',
      '198.51.104.0',
      '9.255.255.255',
      '11.0.0.0',
      '2001:db8:0:ffff:ffff:ffff:ffff:ffff',
      '2001:db8:2::',
      '2001:db8:2:3::2',
    ]) {
      expect([outside, isBlocked(outside)]).toEqual([outside, false])
    }
  })

  it('lets go of an entry by itself when its time is over, and Redis forgets it with the next change', async () => {
    await entries.put([
      { subject: userSubject(7), ...OPERATOR, lastsMs: 300 },
      { subject: network('192.0.2.0/24'), ...OPERATOR, lastsMs: 300 },
    ])
    await blacklist.refresh()
    expect([blacklist.findUser(7) !== undefined, isBlocked('192.0.2.9')]).toEqual([true, true])

    await vi.waitFor(() => expect(blacklist.findUser(7)).toBeUndefined(), { timeout: 2_000 })
    expect(isBlocked('192.0.2.9')).toBe(false)
    await entries.put([{ subject: userSubject(8), ...OPERATOR }])
    expect(await stores.redis.hkeys(blacklistKeys().entries)).toEqual([userSubject(8)])
  })

  it('holds the wider range when a narrower one inside it has run out', async () => {
    await entries.put([
      { subject: network('192.0.2.0/24'), ...OPERATOR },
      { subject: network('192.0.2.9'), ...OPERATOR, lastsMs: 1 },
    ])
    await blacklist.refresh()
    await vi.waitFor(() =>
      expect(blacklist.findAddress(parseAddress('192.0.2.9')!)?.subject).toBe('network:192.0.2.0/24'),
    )
  })

  it('that missed a change of which nobody told it sees so, and reads all', async () => {
    await entries.put([{ subject: userSubject(7), ...OPERATOR }])
    await blacklist.refresh()
    expect(blacklist.findUser(7)).toBeDefined()
    await entries.remove([userSubject(7)])
    await blacklist.refresh()
    expect(blacklist.findUser(7)).toBeUndefined()

    await entries.put([{ subject: userSubject(9), ...OPERATOR }])
    await stores.redis.del(...Object.values(blacklistKeys()))
    await blacklist.refresh()
    expect(blacklist.findUser(9)).toBeUndefined()
  })

  it('keeps a change that is told while all is being read', async () => {
    const many = Array.from({ length: 5_000 }, (_, i) => ({ subject: userSubject(i + 1), ...OPERATOR }))
    await entries.put(many)
    const version = await entries.version()

    const loading = blacklist.load()
    blacklist.heard(`${version + 1}\nuser:77777\n0:1:operator:told meanwhile`)
    blacklist.heard(`${version + 2}\nuser:5\n`)
    await loading

    expect(blacklist.findUser(77_777)).toBeDefined()
    expect(blacklist.findUser(5)).toBeUndefined()
    expect(blacklist.findUser(4_999)).toBeDefined()
  })

  it.each(['', 'x', '1', '2\nuser:7', '3\nuser:7\nnonsense', '\n\n\n'])(
    'takes no harm from the message %j',
    (message) => {
      blacklist.heard(message)
      expect(blacklist.findUser(7)).toBeUndefined()
    },
  )

  it('takes a reason with line breaks and colons as one line', async () => {
    await entries.put([{ subject: userSubject(7), cause: 'operator', reason: 'a:b\nuser:8\n1' }])
    await blacklist.refresh()
    expect(blacklist.findUser(7)?.reason).toBe('a:b user:8 1')
  })
})

describe('a rule', () => {
  const rule = { threshold: 3, windowMs: 60_000, lastsMs: 60_000 }
  const strikesWith = (windowMs = rule.windowMs) =>
    createStrikes({ redis: stores.redis, rules: { 'captcha-wrong': { ...rule, windowMs } }, log })

  it('puts a subject on the blacklist at its threshold, not before, with its cause and an end', async () => {
    const subject = userSubject(newUserId())
    const strikes = strikesWith()
    const kinds = []
    for (let i = 0; i < 3; i += 1) kinds.push((await strikes.record('captcha-wrong', subject)).kind)
    expect(kinds).toEqual(['counted', 'counted', 'blacklisted'])

    await blacklist.refresh()
    const entry = blacklist.findUser(Number(subject.slice('user:'.length)))
    expect(entry).toMatchObject({ cause: 'captcha-wrong', reason: 'too many wrong captchas' })
    expect(entry!.expiresAtMs! - entry!.addedAtMs).toBe(rule.lastsMs)
  })

  it('counts each subject exactly once per strike, also when many instances count at once', async () => {
    const strikes = strikesWith()
    const outcomes = await Promise.all(
      Array.from({ length: 9 }, () => strikes.record('captcha-wrong', 'user:1')),
    )
    // Three full measures; the entry of the first lasts as long as those of the others, give or take a millisecond.
    expect(outcomes.filter((outcome) => outcome.kind !== 'counted').length).toBeGreaterThanOrEqual(1)
    expect((await strikes.record('captcha-wrong', 'user:2')).kind).toBe('counted')
    expect(await stores.redis.hkeys(blacklistKeys().entries)).toEqual(['user:1'])
  })

  it('forgets strikes after its window, and never leaves a counter without an end', async () => {
    const strikes = strikesWith(200)
    const subject = userSubject(newUserId())
    for (let i = 0; i < 2; i += 1) await strikes.record('captcha-wrong', subject)
    const key = strikesKey('captcha-wrong', subject)
    expect(await stores.redis.pttl(key)).toBeGreaterThan(0)
    await vi.waitFor(async () => expect(await stores.redis.exists(key)).toBe(0), { timeout: 2_000 })
    expect(await strikes.record('captcha-wrong', subject)).toEqual({ kind: 'counted', strikes: 1 })
  })

  it('never shortens what an operator has said', async () => {
    const subject = userSubject(newUserId())
    await entries.put([{ subject, ...OPERATOR }])
    const strikes = strikesWith()
    for (let i = 0; i < 3; i += 1) await strikes.record('captcha-wrong', subject)
    await blacklist.refresh()
    expect(blacklist.findUser(Number(subject.slice('user:'.length)))).toMatchObject({
      ...OPERATOR,
      expiresAtMs: undefined,
    })
  })

  it('that is off counts nothing', async () => {
    const strikes = createStrikes({ redis: stores.redis, rules: {}, log })
    expect(await strikes.record('order-unpaid', 'user:1')).toEqual({ kind: 'not_counted' })
  })

  it('counts orders that were held and not paid, one for each', async () => {
    const userId = newUserId()
    const strikes = createStrikes({
      redis: stores.redis,
      rules: { 'order-unpaid': { ...rule, threshold: 2 } },
      log,
    })
    const told: number[] = []
    const expire = createExpireOrders(stores.mysql, (userIds) => {
      told.push(...userIds)
      for (const id of userIds) void strikes.record('order-unpaid', userSubject(id))
    })
    for (let i = 0; i < 2; i += 1) {
      const saleId = await addWarmSale(stores, { paymentWindowSeconds: 0 })
      const orderId = `${i}`.padStart(26, '0')
      await createPlaceReservations(stores.mysql)(saleId, [
        { orderId, userId, quantity: 1, reservedAtMs: Date.now(), requestId: 'r' },
      ])
      await vi.waitFor(async () => {
        await expire()
        expect(told).toHaveLength(i + 1)
      })
    }
    expect(told).toEqual([userId, userId])
    await vi.waitFor(async () => {
      await blacklist.refresh()
      expect(blacklist.findUser(userId)).toMatchObject({ cause: 'order-unpaid' })
    })
  })
})

describe('a shared bucket', () => {
  it('never stands in Redis without an end, not even one that has lost it', async () => {
    const take = createSharedBuckets(stores.redis)
    expect(await take('x', 60_000)).toEqual({ count: 1, leftMs: 60_000 })
    await stores.redis.persist('limit:x')
    expect((await take('x', 60_000)).count).toBe(2)
    expect(await stores.redis.pttl('limit:x')).toBeGreaterThan(59_000)
  })
})
