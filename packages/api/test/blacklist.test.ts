import { createBlacklistEntries, type NewEntry } from '@blitzbuy/core/gate/blacklist-entries'
import {
  networkSubject,
  phoneSubject,
  userSubject,
  type Subject,
} from '@blitzbuy/core/gate/blacklist-subject'
import { blacklistKeys } from '@blitzbuy/core/gate/gate-keys'
import { createStrikes } from '@blitzbuy/core/gate/strikes'
import { parseAddress, parseNetwork } from '@blitzbuy/core/ip-address'
import { createLog } from '@blitzbuy/core/log'
import { sessionKey, userSessionsKey } from '@blitzbuy/core/user/sessions'
import { describe, expect, it, vi } from 'vitest'

import { addWarmSale, unitsLeft } from '../../core/test/own-stores.ts'
import {
  cookieOf,
  newAddress,
  newPhone,
  newShopper,
  passGate,
  useApiOn,
  useOwnApi,
  type Shopper,
} from './own-api.ts'

const one = useOwnApi()
const two = useApiOn(one.stores)
const WITHIN_MS = 2_000

const put = (subject: Subject, changes: Partial<NewEntry> = {}) =>
  createBlacklistEntries(one.stores.redis).put([
    { subject, cause: 'operator', reason: 'scalper', ...changes },
  ])
const remove = (subject: Subject) => createBlacklistEntries(one.stores.redis).remove([subject])
const network = (text: string) => networkSubject(parseNetwork(text)!)
const buy = (shopper: Shopper, saleId: number, headers: object = {}) =>
  shopper.call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders`, headers: { ...headers } })
const codeOf = (answer: { statusCode: number; json(): unknown }) => [
  answer.statusCode,
  (answer.json() as { code?: string }).code,
]
const BLOCKED = [403, 'blocked']
/** Waits until every instance knows, no longer than is promised. */
const everywhere = (check: (api: typeof one) => void) =>
  vi.waitFor(() => [one, two].forEach(check), { timeout: WITHIN_MS, interval: 10 })

/** As between the entry and the end of the sessions: without the index, they cannot be found to be ended. */
const delayEnd = (shopper: Shopper) => one.stores.redis.del(userSessionsKey(shopper.userId))

/** The same person at the other instance. */
const at = (api: typeof one, shopper: Shopper): Shopper => ({
  ...shopper,
  call: (options) =>
    api.app.inject({
      ...options,
      headers: {
        cookie: shopper.cookie,
        'x-forwarded-for': shopper.address,
        'x-purchase-token': shopper.purchaseToken ?? '',
        ...options.headers,
      },
    }),
})

describe('a blacklisted user', () => {
  it('is refused by every instance within two seconds, takes nothing, and is let in again when taken off', async () => {
    const saleId = await addWarmSale(one.stores)
    const shopper = await newShopper(one)
    shopper.purchaseToken = await passGate(one, shopper, saleId)
    const subject = userSubject(shopper.userId)
    await delayEnd(shopper)
    await put(subject)
    await everywhere((api) => expect(api.core.blacklist.findUser(shopper.userId)).toBeDefined())
    for (const api of [one, two]) expect(codeOf(await buy(at(api, shopper), saleId))).toEqual(BLOCKED)
    expect(await unitsLeft(one.stores, saleId)).toBe(10)

    await remove(subject)
    await everywhere((api) => expect(api.core.blacklist.findUser(shopper.userId)).toBeUndefined())
    expect((await buy(at(two, shopper), saleId)).statusCode).toBe(202)
  })

  it('can do nothing with a session that has not ended yet but read orders and log out, and cannot log in', async () => {
    const saleId = await addWarmSale(one.stores)
    const shopper = await newShopper(one)
    shopper.purchaseToken = await passGate(one, shopper, saleId)
    const { orderId } = (await buy(shopper, saleId)).json<{ orderId: string }>()
    await delayEnd(shopper)
    await put(userSubject(shopper.userId))
    await everywhere((api) => expect(api.core.blacklist.findUser(shopper.userId)).toBeDefined())

    for (const [method, path] of [
      ['GET', '/me'],
      ['POST', `/orders/${orderId}/payments`],
      ['POST', `/sales/${saleId}/orders`],
    ] as const) {
      const answer = await shopper.call({ method, url: `/api/v1${path}` })
      expect([path, ...codeOf(answer)]).toEqual([path, ...BLOCKED])
    }
    expect((await shopper.call({ url: `/api/v1/orders/${orderId}` })).json()).toMatchObject({ orderId })
    const viewer = await shopper.call({ url: `/api/v1/sales/${saleId}/viewer` })
    expect(viewer.json()).toMatchObject({ viewerState: 'queued', token: 'none' })
    const other = await addWarmSale(one.stores)
    const stranger = await shopper.call({ url: `/api/v1/sales/${other}/viewer` })
    expect(stranger.json()).toMatchObject({ viewerState: 'blocked', token: 'none' })
    expect((await shopper.call({ url: '/api/v1/orders' })).statusCode).toBe(200)
    expect((await shopper.call({ method: 'POST', url: '/api/v1/auth/logout' })).statusCode).toBe(204)

    const { phone, password } = shopper
    const logIn = (secret: string) =>
      one.app.inject({ method: 'POST', url: '/api/v1/auth/login', payload: { phone, password: secret } })
    expect(codeOf(await logIn(password))).toEqual(BLOCKED)
    // Whoever does not know the password does not learn it either.
    expect(codeOf(await logIn('not the password'))).toEqual([401, 'credentials-invalid'])
  })

  it('reads on the page whom to ask, with a reference, and not why', async () => {
    const saleId = await addWarmSale(one.stores)
    const shopper = await newShopper(one)
    await delayEnd(shopper)
    await put(userSubject(shopper.userId))
    await everywhere((api) => expect(api.core.blacklist.findUser(shopper.userId)).toBeDefined())

    const page = await shopper.call({
      method: 'POST',
      url: `/sales/${saleId}/buy`,
      headers: { accept: 'text/html', 'content-type': 'application/x-www-form-urlencoded' },
      payload: 'quantity=1',
    })
    expect(page.statusCode).toBe(403)
    expect(page.body).toMatch(/take part in this sale\. Contact support: [0-9a-f]+-\w+/)
    expect(page.body).not.toContain('scalper')
    expect((await buy(shopper, saleId)).json()).toEqual({
      status: 403,
      title: expect.any(String),
      code: 'blocked',
      requestId: expect.any(String),
    })
  })

  it('is let in again by itself when the time is over', async () => {
    const saleId = await addWarmSale(one.stores)
    const shopper = await newShopper(one)
    shopper.purchaseToken = await passGate(one, shopper, saleId)
    await delayEnd(shopper)
    await put(userSubject(shopper.userId), { lastsMs: 700 })
    await everywhere((api) => expect(api.core.blacklist.findUser(shopper.userId)).toBeDefined())
    expect(codeOf(await buy(shopper, saleId))).toEqual(BLOCKED)
    await vi.waitFor(async () => expect((await buy(shopper, saleId)).statusCode).toBe(202), {
      timeout: 2_000,
      interval: 100,
    })
  })
})

describe('the sessions of a blacklisted account', () => {
  const read = (api: typeof one, cookie: string) =>
    api.app.inject({ url: '/api/v1/orders', headers: { cookie } })
  /** Waits until they are over on every instance, in Redis and in the local copies, no longer than is promised. */
  const over = (cookies: string[]) =>
    vi.waitFor(
      async () => {
        for (const api of [one, two])
          for (const cookie of cookies) expect((await read(api, cookie)).statusCode).toBe(401)
      },
      { timeout: WITHIN_MS, interval: 20 },
    )
  const logIn = ({ phone, password }: Shopper, api = one) =>
    api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      headers: { 'x-forwarded-for': newAddress() },
      payload: { phone, password },
    })

  it.each(['an operator’s entry for the user', 'an operator’s entry for the number', 'a rule'])(
    'are over everywhere within two seconds of %s, stay so when it is taken off, and no login begins one',
    async (how) => {
      const shopper = await newShopper(one)
      const neighbour = await newShopper(one)
      const cookies = [shopper.cookie, cookieOf(await logIn(shopper, two))]
      // In the local copy of both.
      for (const api of [one, two])
        for (const cookie of cookies) expect((await read(api, cookie)).statusCode).toBe(200)

      const subject = how.endsWith('number') ? phoneSubject(shopper.phone) : userSubject(shopper.userId)
      if (how === 'a rule') {
        const rules = { 'order-unpaid': { threshold: 1, windowMs: 60_000, lastsMs: 60_000 } }
        const log = createLog({ name: 'test', level: 'fatal' })
        await createStrikes({ redis: one.stores.redis, rules, log }).record('order-unpaid', subject)
      } else {
        await put(subject)
      }
      await over(cookies)
      await vi.waitFor(async () =>
        expect(await one.stores.redis.exists(userSessionsKey(shopper.userId))).toBe(0),
      )
      expect(codeOf(await logIn(shopper))).toEqual(BLOCKED)
      expect(codeOf(await logIn(shopper, two))).toEqual(BLOCKED)
      expect(await one.stores.redis.exists(userSessionsKey(shopper.userId))).toBe(0)
      expect((await read(two, neighbour.cookie)).statusCode).toBe(200)

      await remove(subject)
      await vi.waitFor(async () => expect((await logIn(shopper)).statusCode).toBe(200), {
        timeout: WITHIN_MS,
      })
      for (const cookie of cookies) expect((await read(one, cookie)).statusCode).toBe(401)
    },
  )

  it('are over also when the entry was made while no instance listened', async () => {
    const shopper = await newShopper(one)
    const sessionId = decodeURIComponent(shopper.cookie).slice('blitz='.length).split('.')[0] ?? ''
    // What `put` writes, without the word of it.
    const nowMs = Date.now()
    const { entries, version } = blacklistKeys()
    await one.stores.redis.hset(entries, userSubject(shopper.userId), `0:${nowMs}:operator:scalper`)
    await one.stores.redis.incr(version)
    await vi.waitFor(
      async () => expect(await one.stores.redis.exists(sessionKey(sessionId))).toBe(0),
      // A second to see that a change was missed, a second to begin.
      { timeout: 4_000 },
    )
    expect((await read(one, shopper.cookie)).statusCode).toBe(401)
  })
})

describe('a blacklisted address', () => {
  it.each([
    ['198.51.100.7', '198.51.100.7', '198.51.100.8'],
    ['203.0.113.0/24', '203.0.113.200', '203.0.114.1'],
    ['2001:db8:77::/48', '2001:db8:77:1::5', '2001:db8:78::5'],
  ])('or range, %s, keeps %s out and lets %s in', async (range, inside, outside) => {
    const saleId = await addWarmSale(one.stores)
    const shopper = await newShopper(one)
    shopper.purchaseToken = await passGate(one, shopper, saleId)
    const subject = network(range)
    await put(subject)
    await everywhere((api) => expect(api.core.blacklist.findAddress(parseAddress(inside)!)).toBeDefined())
    expect(codeOf(await buy(shopper, saleId, { 'x-forwarded-for': inside }))).toEqual(BLOCKED)
    const fromTwo = await buy(at(two, shopper), saleId, { 'x-forwarded-for': inside })
    expect(codeOf(fromTwo)).toEqual(BLOCKED)
    for (const path of ['register', 'login']) {
      const answer = await one.app.inject({
        method: 'POST',
        url: `/api/v1/auth/${path}`,
        headers: { 'x-forwarded-for': inside },
        payload: { phone: newPhone(), password: 'correct horse battery' },
      })
      expect([path, ...codeOf(answer)]).toEqual([path, ...BLOCKED])
    }
    // Reading is open to everybody.
    const headers = { 'x-forwarded-for': inside }
    expect((await one.app.inject({ url: '/', headers })).statusCode).toBe(200)
    expect((await one.app.inject({ url: `/api/v1/sales/${saleId}`, headers })).statusCode).toBe(200)
    expect((await buy(shopper, saleId, { 'x-forwarded-for': outside })).statusCode).toBe(202)
  })
})

describe('a blacklisted phone number', () => {
  it('can neither register nor log in, however it is spelled, by the api or by a form', async () => {
    const shopper = await newShopper(one)
    await put(phoneSubject(shopper.phone))
    await everywhere((api) => expect(api.core.blacklist.findPhone(shopper.phone)).toBeDefined())

    const national = shopper.phone.slice(3)
    for (const phone of [shopper.phone, national, `0086 ${national}`]) {
      for (const path of ['register', 'login']) {
        const body = { phone, region: 'CN', password: shopper.password }
        const headers = { 'x-forwarded-for': newAddress() }
        const answer = await one.app.inject({
          method: 'POST',
          url: `/api/v1/auth/${path}`,
          headers,
          payload: body,
        })
        expect([phone, path, ...codeOf(answer)]).toEqual([phone, path, ...BLOCKED])
        const page = await one.app.inject({
          method: 'POST',
          url: `/${path}`,
          headers: { ...headers, accept: 'text/html', 'content-type': 'application/x-www-form-urlencoded' },
          payload: new URLSearchParams(body).toString(),
        })
        expect([phone, path, page.statusCode]).toEqual([phone, path, 403])
      }
    }
  })
})
