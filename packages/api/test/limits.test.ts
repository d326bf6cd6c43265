import { connectRedis } from '@blitzbuy/core/redis/connect-redis'
import { describe, expect, it, vi } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import {
  newAddress,
  newPhone,
  newShopper,
  openForm,
  passGate,
  useApiOn,
  useOwnApi,
  type OwnApi,
  type Shopper,
} from './own-api.ts'

const SMALL = {
  LIMIT_AUTH_ADDRESS: '6/60',
  LIMIT_AUTH_USER: '3/60',
  LIMIT_PURCHASE_USER: '5/60',
  LIMIT_PURCHASE_ADDRESS: '12/60',
  LIMIT_PURCHASE_RETRY: '2/60',
  LIMIT_NOT_FOUND: '4/60',
  RULE_LIMIT_BREACH: '2/60/60',
  RULE_LIMIT_BREACH_ADDRESS: 'off',
}
const one = useOwnApi(SMALL)
const two = useApiOn(one.stores, SMALL)
const untrusting = useApiOn(one.stores, { ...SMALL, TRUSTED_PROXIES: '' })

const logIn = (api: OwnApi, address: string, cookie?: string) =>
  api.app.inject({
    method: 'POST',
    url: '/api/v1/auth/login',
    headers: { 'x-forwarded-for': address, ...(cookie && { cookie }) },
    payload: { phone: newPhone(), password: 'not the password' },
  })
const buy = (shopper: Shopper, saleId: number, headers: object = {}) =>
  shopper.call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders`, headers: { ...headers } })
const statusesOf = async (count: number, step: (at: number) => Promise<{ statusCode: number }>) => {
  const statuses: number[] = []
  for (let at = 0; at < count; at += 1) statuses.push((await step(at)).statusCode)
  return statuses
}

describe('logins', () => {
  it('are counted by all instances together, and refused with the time to wait', async () => {
    const address = newAddress()
    const statuses = await statusesOf(6, (at) => logIn(at % 2 ? one : two, address))
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401])

    for (const api of [one, two]) {
      const refused = await logIn(api, address)
      expect(refused.statusCode).toBe(429)
      expect(refused.json()).toMatchObject({ code: 'rate-limited', retryAfterMs: expect.any(Number) })
      const seconds = Number(refused.headers['retry-after'])
      expect(seconds).toBeGreaterThan(50)
      expect(seconds).toBeLessThanOrEqual(60)
      expect(refused.headers['ratelimit-policy']).toBe('"auth-address";q=6;w=60')
      expect(refused.headers['ratelimit']).toBe(`"auth-address";r=0;t=${seconds}`)
    }
  })

  it('from another address go on', async () => {
    expect((await logIn(one, newAddress())).statusCode).toBe(401)
  })

  it('tell what is left by the fields of the current draft, and none of the older names', async () => {
    const answer = await logIn(one, newAddress())
    expect(answer.headers['ratelimit']).toBe('"auth-address";r=5;t=60')
    expect(
      Object.keys(answer.headers).filter((name) => /ratelimit-(limit|remaining|reset)/.test(name)),
    ).toEqual([])
  })

  it('of two people behind one address: the one who is too fast is refused, the other is not', async () => {
    const office = newAddress()
    const [fast, calm] = [await newShopper(one, office), await newShopper(one, office)]
    // Each request names another address, so that only the users' own buckets can fill.
    const statuses = await statusesOf(4, () => logIn(one, newAddress(), fast.cookie))
    expect(statuses).toEqual([401, 401, 401, 429])
    expect((await logIn(one, office, calm.cookie)).statusCode).toBe(401)
  })

  it('from one /64 of IPv6 are one sender, from the next one another', async () => {
    const statuses = await statusesOf(7, (at) => logIn(one, `2001:db8:5:5:${at}::${at}`))
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429])
    expect((await logIn(one, '2001:db8:5:6::1')).statusCode).toBe(401)
  })

  it('leave no counter in Redis without an end', async () => {
    const redis = connectRedis({ url: one.stores.redisUrl, namespace: one.stores.namespace })
    await vi.waitFor(() => expect(redis.status).toBe('ready'))
    const keys = await redis.keys(`${one.stores.namespace}:limit:*`)
    expect(keys.length).toBeGreaterThan(3)
    for (const key of keys) {
      expect(await redis.pttl(key.slice(one.stores.namespace.length + 1))).toBeGreaterThan(0)
    }
    redis.disconnect()
  })
})

describe('an X-Forwarded-For', () => {
  it('of a client that came through no listed proxy is not believed', async () => {
    const statuses = await statusesOf(7, () => logIn(untrusting, newAddress()))
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429])
  })

  it('that a client wrote before the proxy added the true address is not believed', async () => {
    const address = newAddress()
    const statuses = await statusesOf(7, () => logIn(one, `${newAddress()}, ${address}`))
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429])
  })

  it('that is no address gives nobody a bucket of their own', async () => {
    const statuses = await statusesOf(7, (at) => logIn(two, `nonsense-${at}`))
    expect(statuses.at(-1)).toBe(429)
  })
})

describe('purchases', () => {
  it('of one user are limited, and those of others behind the same address are not', async () => {
    const saleId = await addWarmSale(one.stores)
    const office = newAddress()
    const [fast, calm] = [await newShopper(one, office), await newShopper(one, office)]
    for (const shopper of [fast, calm]) shopper.purchaseToken = await passGate(one, shopper, saleId)
    const statuses = await statusesOf(6, () => buy(fast, saleId))
    expect(statuses).toEqual([202, 200, 200, 200, 200, 429])
    const refused = await buy(fast, saleId)
    expect(refused.json()).toMatchObject({ code: 'rate-limited' })
    expect(refused.headers['ratelimit-policy']).toBe('"purchase-user";q=5;w=60')
    expect((await buy(calm, saleId)).statusCode).toBe(202)
  })

  it('of one address are limited before anybody asks who they are', async () => {
    const saleId = await addWarmSale(one.stores)
    const nobody = { ...(await newShopper(one)) }
    const statuses = await statusesOf(13, () => buy(nobody, saleId, { cookie: 'blitz=junk' }))
    expect(statuses).toEqual([...Array<number>(12).fill(401), 429])
  })

  it('that are retries past a raised sold-out flag have a small limit of their own', async () => {
    const saleId = await addWarmSale(one.stores, { quota: 1 })
    const [first, late] = [await newShopper(one), await newShopper(one)]
    for (const shopper of [first, late]) shopper.purchaseToken = await passGate(one, shopper, saleId)
    await buy(first, saleId)
    const retry = { 'x-purchase-retry': '1' }
    expect((await buy(late, saleId)).statusCode).toBe(409)
    expect(one.core.flags.isRaised(saleId)).toBe(true)
    const answers = []
    for (let i = 0; i < 3; i += 1) {
      one.core.flags.raise(saleId, 1, Number.MAX_SAFE_INTEGER)
      answers.push(await buy(late, saleId, retry))
    }
    expect(answers.map((answer) => answer.statusCode)).toEqual([409, 409, 429])
    expect(answers[2]?.headers['ratelimit-policy']).toBe('"purchase-retry";q=2;w=60')
  })

  it('by a form are limited in the same buckets, and the page says so', async () => {
    const saleId = await addWarmSale(one.stores)
    const shopper = await newShopper(one)
    await statusesOf(5, () => buy(shopper, saleId))
    const { formToken, cookie } = await openForm(one, shopper.cookie)
    const page = await shopper.call({
      method: 'POST',
      url: `/sales/${saleId}/buy`,
      headers: { cookie, accept: 'text/html', 'content-type': 'application/x-www-form-urlencoded' },
      payload: new URLSearchParams({ formToken, quantity: '1' }).toString(),
    })
    expect(page.statusCode).toBe(429)
    expect(page.headers['retry-after']).toBe('60')
    expect(page.body).toContain('going too fast. Try again in 60 s.')
  })

  it('over the limit again and again put the user on the blacklist, once for each window', async () => {
    const saleId = await addWarmSale(one.stores)
    const shopper = await newShopper(one)
    await statusesOf(20, () => buy(shopper, saleId))
    expect(one.core.blacklist.findUser(shopper.userId)).toBeUndefined()
    // A second breach, of another of the user's buckets.
    await statusesOf(5, () => logIn(one, newAddress(), shopper.cookie))
    await vi.waitFor(() =>
      expect(one.core.blacklist.findUser(shopper.userId)).toMatchObject({ cause: 'limit-breach' }),
    )
  })
})

it('addresses that lead nowhere are limited too: nobody can try them all', async () => {
  const headers = { 'x-forwarded-for': newAddress() }
  const statuses = await statusesOf(5, (at) => one.app.inject({ url: `/guess-${at}`, headers }))
  expect(statuses).toEqual([404, 404, 404, 404, 429])
  expect((await one.app.inject({ url: '/', headers })).statusCode).toBe(200)
})

describe('with Redis away', () => {
  const cutOff = useApiOn(one.stores, SMALL)

  it('each instance limits by itself, and nothing is a fault', async () => {
    const address = newAddress()
    // Cut for good: this connection does not come back by itself.
    cutOff.core.redis.disconnect()
    const answers = []
    for (let i = 0; i < 7; i += 1) answers.push(await logIn(cutOff, address))
    // Logging in fails closed without Redis; what is over the limit does not even get that far.
    expect(answers.map((answer) => answer.statusCode)).toEqual([503, 503, 503, 503, 503, 503, 429])
    expect(answers[6]?.headers['retry-after']).toBe('60')
  })
})
