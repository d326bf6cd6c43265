import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { createReturnStock } from '@blitzbuy/core/stock/return-stock'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { describe, expect, it, vi } from 'vitest'

import { addSale, addWarmSale, unitsLeft } from '../../core/test/own-stores.ts'
import {
  actInSandbox,
  cookieOf,
  letMinutePass,
  newPhone,
  newShopper,
  passGate,
  useOwnApi,
  type Shopper,
} from './own-api.ts'
import { placeQueued as placeQueuedOf } from './place-queued.ts'

// One shopper buys in 25 sales within a second below; the limit itself is tested elsewhere.
const api = useOwnApi({ LIMIT_CHALLENGE_USER: '200/60' })
const inject = (method: 'GET' | 'POST' | 'PUT', url: string, options: object = {}) =>
  api.app.inject({ method, url: `/api/v1${url}`, ...options })
/** Each shopper's token of each sale; it may buy nothing twice. */
const tokens = new Map<string, Promise<string>>()
function tokenOf(shopper: Shopper, saleId: number | string): Promise<string> {
  const key = `${shopper.userId}:${saleId}`
  let token = tokens.get(key)
  if (!token) tokens.set(key, (token = passGate(api, shopper, Number(saleId))))
  return token
}
async function buy(shopper: Shopper, saleId: number, options: { payload?: object; headers?: object } = {}) {
  return shopper.call({
    method: 'POST',
    url: `/api/v1/sales/${saleId}/orders`,
    ...options,
    headers: { 'x-purchase-token': await tokenOf(shopper, saleId), ...options.headers },
  })
}
const placeQueued = (saleId: number) => placeQueuedOf(api.stores, saleId)
const HOUR_MS = 3_600_000

describe('a refusal', () => {
  it('is a problem with a code and the id of the request', async () => {
    const answer = await inject('GET', '/sales/4000000000')
    expect(answer.statusCode).toBe(404)
    expect(answer.headers['content-type']).toContain('application/problem+json')
    expect(answer.json()).toMatchObject({ code: 'not-found', status: 404, requestId: expect.any(String) })
  })

  it.each([
    '/sales/0',
    '/sales/-1',
    '/sales/abc',
    '/sales/1e3',
    '/sales/99999999999',
    '/sales/1.5',
    '/nothing',
  ])('of an unknown thing, %s, is 404', async (url) => {
    expect((await inject('GET', url)).json()).toMatchObject({ code: 'not-found' })
  })

  it('of another method is 405 and says which methods there are', async () => {
    const answer = await inject('PUT', '/auth/login', {
      payload: 'x',
      headers: { 'content-type': 'text/plain' },
    })
    expect(answer.statusCode).toBe(405)
    expect(answer.headers.allow).toBe('POST')
    expect(answer.json()).toMatchObject({ code: 'method-not-allowed' })
  })

  it.each([
    ['{"phone":', 'application/json', 400, 'request-invalid'],
    ['', 'application/json', 400, 'request-invalid'],
    ['[]', 'application/json', 400, 'request-invalid'],
    ['null', 'application/json', 400, 'request-invalid'],
    ['phone=1', 'application/x-www-form-urlencoded', 415, 'media-type-unsupported'],
    ['{}', 'text/plain', 415, 'media-type-unsupported'],
  ])('of the body %s as %s is %i %s', async (payload, type, status, code) => {
    const answer = await inject('POST', '/auth/login', { payload, headers: { 'content-type': type } })
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([status, code])
  })

  it('of a body of 1 MB is 413', async () => {
    const payload = JSON.stringify({ phone: '1'.repeat(1024 * 1024), password: 'x' })
    const answer = await inject('POST', '/auth/login', {
      payload,
      headers: { 'content-type': 'application/json' },
    })
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([413, 'body-too-large'])
  })

  it('names every field that is wrong', async () => {
    const answer = await inject('POST', '/auth/register', {
      payload: { phone: 13800138000, role: 'operator' },
    })
    expect(answer.json()).toMatchObject({
      code: 'request-invalid',
      errors: expect.arrayContaining([
        { field: 'password', message: 'is required' },
        { field: 'role', message: 'is not a known field' },
        { field: 'phone', message: 'must be string' },
      ]),
    })
  })

  it.each([
    [{ origin: 'https://evil.test' }],
    [{ 'sec-fetch-site': 'cross-site' }],
    [{ 'sec-fetch-site': 'same-site', origin: 'http://shop.test' }],
    [{ origin: 'null' }],
  ])('meets what another site made a browser send: %o', async (headers) => {
    const answer = await inject('POST', '/auth/logout', { headers })
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([403, 'cross-site'])
  })
})

describe('an account', () => {
  it('is registered, logged in and logged out; a cookie from before is then worth nothing', async () => {
    const shopper = await newShopper(api)
    expect((await shopper.call({ url: '/api/v1/me' })).json()).toMatchObject({
      userId: shopper.userId,
      role: 'shopper',
    })

    const { phone, password } = shopper
    const login = await inject('POST', '/auth/login', { payload: { phone, password } })
    expect(login.statusCode).toBe(200)
    const cookie = cookieOf(login)
    expect(cookie).not.toBe(shopper.cookie)

    expect((await inject('POST', '/auth/logout', { headers: { cookie } })).statusCode).toBe(204)
    expect((await inject('GET', '/me', { headers: { cookie } })).json()).toMatchObject({
      code: 'login-required',
    })
    expect((await shopper.call({ url: '/api/v1/me' })).statusCode).toBe(200)
  })

  it('is one per phone number, however the number is written and however many register at once', async () => {
    const phone = newPhone()
    const spellings = [
      phone,
      phone.replace('+', '00'),
      phone.slice(3),
      `${phone.slice(0, 6)} ${phone.slice(6)}`,
    ]
    const answers = await Promise.all(
      spellings.map((spelling) =>
        inject('POST', '/auth/register', { payload: { phone: spelling, password: 'long enough' } }),
      ),
    )
    expect(answers.map((answer) => answer.statusCode).toSorted((a, b) => a - b)).toEqual([201, 409, 409, 409])
  })

  it('with a wrong password and one that does not exist are refused alike', async () => {
    const { phone } = await newShopper(api)
    const wrong = await inject('POST', '/auth/login', { payload: { phone, password: 'not this one' } })
    const unknown = await inject('POST', '/auth/login', {
      payload: { phone: newPhone(), password: 'not this one' },
    })
    const { requestId: _one, ...wrongBody } = wrong.json<{ requestId: string }>()
    const { requestId: _two, ...unknownBody } = unknown.json<{ requestId: string }>()
    expect(wrong.statusCode).toBe(401)
    expect(unknownBody).toEqual(wrongBody)
  })

  it.each([
    [{ phone: '+44 7911 123456', password: 'long enough' }, 'phone-invalid'],
    [{ phone: '+86 138 0013 8999', password: 'short' }, 'password-weak'],
  ])('that cannot be is refused: %o', async (payload, code) => {
    const answer = await inject('POST', '/auth/register', { payload })
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([422, code])
  })

  it.each([
    ['junk', 'blitz=junk'],
    ['a forged signature', 'blitz=abcdefghijklmnopqrstuvwxyz012345.c2lnbmF0dXJl'],
    ['a broken encoding', 'blitz=%E0%A4%A'],
    ['nothing', 'blitz='],
  ])('is nobody’s with a cookie of %s', async (_what, cookie) => {
    const saleId = await addWarmSale(api.stores)
    expect((await inject('GET', '/me', { headers: { cookie } })).statusCode).toBe(401)
    const purchase = await inject('POST', `/sales/${saleId}/orders`, { headers: { cookie } })
    expect(purchase.json()).toMatchObject({ code: 'login-required' })
  })

  it('makes no key in Redis for a visitor who does not log in', async () => {
    const sessions = async () => (await api.stores.redis.keys(`${api.stores.namespace}:session:*`)).length
    const before = await sessions()
    await inject('GET', '/me', { headers: { cookie: 'blitz=junk' } })
    await inject('POST', '/auth/login', { payload: { phone: newPhone(), password: 'not this one' } })
    expect(await sessions()).toBe(before)
  })
})

describe('a purchase', () => {
  it('is accepted with 202 and leads to its order, which is queued until a worker places it, and then payable', async () => {
    const saleId = await addWarmSale(api.stores, { priceCents: 1_234 })
    const shopper = await newShopper(api)

    const answer = await buy(shopper, saleId)
    expect(answer.statusCode).toBe(202)
    const { orderId } = answer.json<{ orderId: string }>()
    expect(answer.headers.location).toBe(`/api/v1/orders/${orderId}`)
    const order = () =>
      shopper.call({ url: `/api/v1/orders/${orderId}` }).then((read) => read.json<{ state: string }>())
    expect(await order()).toMatchObject({ state: 'queued', quantity: 1, pollAfterMs: expect.any(Number) })
    const early = await shopper.call({ method: 'POST', url: `/api/v1/orders/${orderId}/payments` })
    expect(early.json()).toMatchObject({ code: 'order-queued' })

    await placeQueued(saleId)
    expect(await order()).toMatchObject({ state: 'awaiting_payment', amountCents: 1_234, currency: 'USD' })
    const begun = await shopper.call({ method: 'POST', url: `/api/v1/orders/${orderId}/payments` })
    expect(begun.statusCode).toBe(201)
    await actInSandbox(api, begun.json<{ paymentUrl: string }>().paymentUrl)
    expect(await order()).toMatchObject({ state: 'paid', payment: { state: 'succeeded' } })
    const twice = await shopper.call({ method: 'POST', url: `/api/v1/orders/${orderId}/payments` })
    expect([twice.statusCode, twice.json<{ state: string }>().state]).toEqual([200, 'paid'])

    const list = await shopper.call({ url: '/api/v1/orders' })
    expect(list.json()).toMatchObject({ orders: [{ orderId, state: 'paid' }] })
  })

  it('that is pressed many times at once is one order', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const answers = await Promise.all(Array.from({ length: 50 }, () => buy(shopper, saleId)))
    const ids = new Set(answers.map((answer) => answer.json<{ orderId: string }>().orderId))
    expect(ids.size).toBe(1)
    expect(await unitsLeft(api.stores, saleId)).toBe(9)
    expect((await buy(shopper, saleId)).statusCode).toBe(200)
  })

  it('too early is told when the sale opens, whether its stock is in Redis or not', async () => {
    const opensAt = new Date(Date.now() + 300_000)
    const window = { opensAt, closesAt: new Date(Date.now() + HOUR_MS) }
    const shopper = await newShopper(api)
    for (const saleId of [await addWarmSale(api.stores, window), await addSale(api.stores, window)]) {
      const answer = await buy(shopper, saleId)
      expect(answer.statusCode).toBe(409)
      expect(answer.json()).toMatchObject({ code: 'sale-not-open', opensAtMs: opensAt.getTime() })
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(280)
    }
  })

  it('too late is told that the sale is over, whether its stock is in Redis or not', async () => {
    const shopper = await newShopper(api)
    const [warm, cold] = [await addWarmSale(api.stores), await addSale(api.stores)]
    await Promise.all([tokenOf(shopper, warm), tokenOf(shopper, cold)])
    await api.stores.mysql.use(({ connection }) =>
      connection.query('UPDATE sales SET closes_at = UTC_TIMESTAMP(3) WHERE id IN (?, ?)', [warm, cold]),
    )
    await api.stores.redis.hset(stockKeys(warm).stock, 'closesAtMs', Date.now())
    for (const saleId of [warm, cold]) {
      const closed = async () =>
        expect((await buy(shopper, saleId)).json()).toMatchObject({ code: 'sale-closed' })
      // The view of a sale is shared for a second.
      await vi.waitFor(closed, { timeout: 2_000 })
    }
  })

  it('of a sale whose stock is not in Redis yet is told to come again, never that it is sold out', async () => {
    const answer = await buy(await newShopper(api), await addSale(api.stores))
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([503, 'sale-warming'])
    expect(answer.headers['retry-after']).toBe('1')
  })

  it.each(['0', 'abc', '-1', '99999999999999999999'])('of the unknown sale %s is 404', async (saleId) => {
    const answer = await (
      await newShopper(api)
    ).call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders` })
    expect(answer.json()).toMatchObject({ code: 'not-found' })
  })

  it.each([-1, 0, 1e9, 1.5, '1', true, null, [1]])(
    'of the quantity %j is refused and takes nothing',
    async (quantity) => {
      const saleId = await addWarmSale(api.stores)
      const answer = await buy(await newShopper(api), saleId, { payload: { quantity } })
      expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([400, 'request-invalid'])
      expect(await unitsLeft(api.stores, saleId)).toBe(10)
    },
  )

  it('with a price of the buyer’s own is refused', async () => {
    const saleId = await addWarmSale(api.stores)
    const answer = await buy(await newShopper(api), saleId, { payload: { quantity: 1, priceCents: 1 } })
    expect(answer.json()).toMatchObject({
      errors: [{ field: 'priceCents', message: 'is not a known field' }],
    })
  })

  it('of more units than one person may have is refused', async () => {
    const saleId = await addWarmSale(api.stores, { unitsPerUser: 2 })
    const answer = await buy(await newShopper(api), saleId, { payload: { quantity: 3 } })
    expect(answer.json()).toMatchObject({ code: 'limit-exceeded', unitsPerUser: 2 })
  })

  it('of more units than are left is told how many there are', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 1, unitsPerUser: 2 })
    const answer = await buy(await newShopper(api), saleId, { payload: { quantity: 2 } })
    expect(answer.json()).toMatchObject({ code: 'too-few-left', unitsLeft: 1 })
  })

  it('whose answer was lost leads to its order after the sale has sold out, by a retry', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 1 })
    const winner = await newShopper(api)
    const { orderId } = (await buy(winner, saleId)).json<{ orderId: string }>()
    expect((await buy(await newShopper(api), saleId)).json()).toMatchObject({ code: 'sold-out' })
    // The flag stands: it says nothing about an order one may already hold.
    expect((await buy(winner, saleId)).json()).toMatchObject({ code: 'sold-out' })

    const retry = await buy(winner, saleId, { headers: { 'x-purchase-retry': '1' } })
    expect([retry.statusCode, retry.json<{ orderId: string }>().orderId]).toEqual([200, orderId])
    const viewer = await winner.call({ url: `/api/v1/sales/${saleId}/viewer` })
    expect(viewer.json()).toMatchObject({ viewerState: 'queued', orderId })
  })

  it('succeeds within a second after units came back', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 1 })
    const first = await newShopper(api)
    const { orderId } = (await buy(first, saleId)).json<{ orderId: string }>()
    const second = await newShopper(api)
    expect((await buy(second, saleId)).json()).toMatchObject({ code: 'sold-out' })

    await createReturnStock(api.stores.redis)(saleId, [orderId])

    await vi.waitFor(async () => expect((await buy(second, saleId)).statusCode).toBe(202), { timeout: 1_000 })
  })

  it('succeeds about a second after units came back, although nobody heard of it', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 1 })
    await buy(await newShopper(api), saleId)
    const second = await newShopper(api)
    expect((await buy(second, saleId)).json()).toMatchObject({ code: 'sold-out' })
    expect(api.core.flags.isRaised(saleId)).toBe(true)

    // Units come back without a word on the channel, as for an api whose subscription is cut.
    await api.stores.redis.hset(stockKeys(saleId).stock, 'unitsLeft', 1, 'quota', 2)

    await vi.waitFor(async () => expect((await buy(second, saleId)).statusCode).toBe(202), { timeout: 2_000 })
  })

  it('is possible again after the buyer’s order has ended, with a new purchase token', async () => {
    const saleId = await addWarmSale(api.stores, { paymentWindowSeconds: 0 })
    const shopper = await newShopper(api)
    const { orderId } = (await buy(shopper, saleId)).json<{ orderId: string }>()
    await placeQueued(saleId)
    // MySQL says that it has ended; Redis was not told.
    await api.stores.mysql.use(({ connection }) =>
      connection.query(`UPDATE orders SET state = 'expired', live = NULL WHERE id = ?`, [orderId]),
    )
    expect((await buy(shopper, saleId)).json()).toMatchObject({ code: 'purchase-token-invalid' })
    tokens.delete(`${shopper.userId}:${saleId}`)
    const again = await buy(shopper, saleId)
    expect(again.statusCode).toBe(202)
    expect(again.json<{ orderId: string }>().orderId).not.toBe(orderId)
    expect(await unitsLeft(api.stores, saleId)).toBe(9)
  })
})

describe('an order', () => {
  it('of somebody else, or an invented one, is not there', async () => {
    const saleId = await addWarmSale(api.stores)
    const { orderId } = (await buy(await newShopper(api), saleId)).json<{ orderId: string }>()
    const stranger = await newShopper(api)
    for (const id of [orderId, '0'.repeat(26), 'x', `${orderId}0`]) {
      for (const [method, path] of [
        ['GET', ''],
        ['POST', '/payments'],
      ] as const) {
        const answer = await stranger.call({ method, url: `/api/v1/orders/${id}${path}` })
        expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([404, 'not-found'])
      }
    }
  })

  it('needs a login', async () => {
    for (const url of ['/orders', '/orders/x', '/me']) {
      expect((await inject('GET', url)).json()).toMatchObject({ code: 'login-required' })
    }
  })

  it('that Redis has lost with everything it knew is closed as lost, and then stays so', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const { orderId } = (await buy(shopper, saleId)).json<{ orderId: string }>()
    const read = () => shopper.call({ url: `/api/v1/orders/${orderId}` }).then((answer) => answer.json())
    const keys = stockKeys(saleId)
    await api.stores.redis.del(keys.unsettled, keys.unsettledDue, keys.holds, keys.holders)

    expect(await read()).toMatchObject({ state: 'queued' })
    // Redis lost its data 31 seconds ago, after this order was minted.
    const { orderIds, agedId } = await agedOrder(saleId, shopper.userId, 60_000)
    await api.stores.redis.hset(keys.stock, 'intactSinceMs', Date.now() - 31_000)
    const lost = await shopper.call({ url: `/api/v1/orders/${agedId}` })
    expect(orderIds.read(agedId, shopper.userId)).toBeDefined()
    expect(lost.json()).toMatchObject({ state: 'rejected', reason: 'lost' })

    const reservation = {
      orderId: agedId,
      userId: shopper.userId,
      quantity: 1,
      reservedAtMs: Date.now(),
      requestId: 'r',
    }
    const late = await createPlaceReservations(api.stores.mysql)(saleId, [reservation])
    expect(late.decisions[0]?.state).toBe('rejected')
  })

  it('list goes page by page, newest first, and loses none', async () => {
    const shopper = await newShopper(api)
    const made: string[] = []
    for (let i = 0; i < 25; i += 1) {
      const saleId = await addWarmSale(api.stores)
      await letMinutePass(api.stores, shopper)
      made.push((await buy(shopper, saleId)).json<{ orderId: string }>().orderId)
      await placeQueued(saleId)
    }
    const listed: string[] = []
    let cursor = ''
    do {
      const page = await shopper.call({ url: `/api/v1/orders${cursor}` })
      const { orders, nextCursor } = page.json<{ orders: { orderId: string }[]; nextCursor?: string }>()
      listed.push(...orders.map((order) => order.orderId))
      cursor = nextCursor ? `?cursor=${nextCursor}` : ''
    } while (cursor)
    expect(listed).toHaveLength(25)
    expect(new Set(listed)).toEqual(new Set(made))
    expect(listed).toEqual(made.toReversed())
  })
})

describe('a sale', () => {
  it('is shown without any data of a user, and may be cached for a second', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 100 })
    const shopper = await newShopper(api)
    await buy(shopper, saleId)
    const answer = await shopper.call({ url: `/api/v1/sales/${saleId}` })
    expect(answer.headers['cache-control']).toBe('public, max-age=1')
    expect(answer.headers['set-cookie']).toBeUndefined()
    expect(Object.keys(answer.json<object>()).toSorted()).toEqual([
      'claimedPercent',
      'closesAt',
      'closesAtMs',
      'currency',
      'description',
      'fewLeft',
      'imageUrl',
      'listPriceCents',
      'nowMs',
      'opensAt',
      'opensAtMs',
      'phase',
      'priceCents',
      'quota',
      'saleId',
      'title',
      'unitsPerUser',
    ])
    // The view that the purchase found is shared for a second.
    await vi.waitFor(async () => {
      const view = await shopper.call({ url: `/api/v1/sales/${saleId}` })
      expect(view.json()).toMatchObject({ saleId, phase: 'open', claimedPercent: 1 })
    }, 2_000)
  })
})

/** An order id as this api would have minted it some time ago. */
async function agedOrder(saleId: number, userId: number, ageMs: number) {
  const { createOrderIds } = await import('@blitzbuy/core/reservation/order-id')
  const orderIds = createOrderIds([api.config.ORDER_ID_SECRETS])
  return { orderIds, agedId: orderIds.mint(saleId, userId, Date.now() - ageMs) }
}
