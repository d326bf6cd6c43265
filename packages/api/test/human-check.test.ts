import { CAPTCHAS_PER_MINUTE } from '@blitzbuy/core/gate/captchas'
import { captchaKey } from '@blitzbuy/core/gate/gate-keys'
import { doWork, type Work } from '@blitzbuy/core/gate/proof-of-work'
import { createPurchaseTokens } from '@blitzbuy/core/gate/purchase-tokens'
import { beforeAll, describe, expect, it } from 'vitest'

import { readCaptcha } from '../../../test/pass-gate.ts'
import { addSale, addWarmSale, unitsLeft } from '../../core/test/own-stores.ts'
import { cookieOf, letMinutePass, newShopper, passGate, useOwnApi, type Shopper } from './own-api.ts'

const api = useOwnApi({ LIMIT_CHALLENGE_USER: '1000/60' })
let shopper: Shopper
beforeAll(async () => {
  shopper = await newShopper(api)
})

const post = (who: Shopper, saleId: number, path: string, payload?: object, headers: object = {}) =>
  who.call({
    method: 'POST',
    url: `/api/v1/sales/${saleId}/${path}`,
    ...(payload && { payload }),
    headers: headers as Record<string, string>,
  })

async function challenge(who: Shopper, saleId: number): Promise<{ captchaId: string; answer: string }> {
  await letMinutePass(api.stores, who)
  const { captchaId } = (await post(who, saleId, 'captchas')).json<{ captchaId: string }>()
  return { captchaId, answer: await readCaptcha(api.stores, captchaId) }
}
const code = (answer: { statusCode: number; json(): unknown }) => [
  answer.statusCode,
  (answer.json() as { code?: string }).code,
]
const INCORRECT = [422, 'captcha-incorrect']
const EXPIRED = [422, 'captcha-expired']
const INVALID = [403, 'purchase-token-invalid']

describe('a captcha', () => {
  it('is a raster picture, whose answer is neither in the body nor in the headers', async () => {
    const saleId = await addSale(api.stores)
    await letMinutePass(api.stores, shopper)
    const answer = await post(shopper, saleId, 'captchas')
    expect(answer.statusCode).toBe(201)
    const { captchaId, image } = answer.json<{ captchaId: string; image: string }>()
    expect(image).toMatch(/^data:image\/png;base64,iVBORw0KGgo/)
    expect(answer.headers['cache-control']).toBe('no-store')
    const text = await readCaptcha(api.stores, captchaId)
    const withoutPixels = JSON.stringify(answer.headers) + answer.body.replace(image, '')
    expect(withoutPixels.toUpperCase()).not.toContain(text)
    expect(Buffer.from(image.split(',')[1] ?? '', 'base64').includes(text)).toBe(false)
  })

  it('is read with small letters, full-width ones and spaces, and then gone', async () => {
    const saleId = await addSale(api.stores)
    const { captchaId, answer } = await challenge(shopper, saleId)
    const spelled = ` ${answer.slice(0, 3).toLowerCase()} ${answer.slice(3)}`
    const solved = await post(shopper, saleId, 'purchase-tokens', { captchaId, answer: spelled })
    expect(solved.statusCode).toBe(201)
    expect(code(await post(shopper, saleId, 'purchase-tokens', { captchaId, answer }))).toEqual(EXPIRED)
  })

  it('has one try: after a wrong answer the right one comes too late', async () => {
    const saleId = await addSale(api.stores)
    const { captchaId, answer } = await challenge(shopper, saleId)
    const wrong = await post(shopper, saleId, 'purchase-tokens', { captchaId, answer: 'WRONG' })
    expect(code(wrong)).toEqual(INCORRECT)
    expect(code(await post(shopper, saleId, 'purchase-tokens', { captchaId, answer }))).toEqual(EXPIRED)
  })

  it('that is answered many times at once buys one token', async () => {
    const saleId = await addSale(api.stores)
    const solved = await challenge(shopper, saleId)
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => post(shopper, saleId, 'purchase-tokens', solved)),
    )
    expect(answers.filter((answer) => answer.statusCode === 201)).toHaveLength(1)
    expect(answers.filter((answer) => answer.statusCode === 422)).toHaveLength(19)
  })

  it('of somebody else, of another sale or of another session of the same user is wrong', async () => {
    const [saleId, other] = [await addSale(api.stores), await addSale(api.stores)]
    const stranger = await newShopper(api)
    const { phone, password } = shopper
    const login = await api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      payload: { phone, password },
    })
    const cookie = cookieOf(login)
    for (const answer of [
      await post(stranger, saleId, 'purchase-tokens', await challenge(shopper, saleId)),
      await post(shopper, other, 'purchase-tokens', await challenge(shopper, saleId)),
      await post(shopper, saleId, 'purchase-tokens', await challenge(shopper, saleId), { cookie }),
    ]) {
      expect(code(answer)).toEqual(INCORRECT)
    }
  })

  it('is forgotten after two minutes', async () => {
    const { captchaId } = await challenge(shopper, await addSale(api.stores))
    const leftMs = await api.stores.redis.pttl(captchaKey(captchaId))
    expect(leftMs).toBeGreaterThan(100_000)
    expect(leftMs).toBeLessThanOrEqual(120_000)
  })

  it(`is given ${CAPTCHAS_PER_MINUTE} times a minute to one user, who is then told when to come again`, async () => {
    const saleId = await addSale(api.stores)
    const guesser = await newShopper(api)
    for (let count = 0; count < CAPTCHAS_PER_MINUTE; count += 1) {
      expect((await post(guesser, saleId, 'captchas')).statusCode).toBe(201)
    }
    const refused = await post(guesser, saleId, 'captchas', { kind: 'work' })
    expect(code(refused)).toEqual([429, 'rate-limited'])
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(30)
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(60)
  })

  it('can be solved from ten minutes before the opening until the end', async () => {
    const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000)
    const early = await addSale(api.stores, { opensAt: inMinutes(11), closesAt: inMinutes(60) })
    const soon = await addSale(api.stores, { opensAt: inMinutes(9), closesAt: inMinutes(60) })
    const over = await addSale(api.stores, { opensAt: inMinutes(-9), closesAt: inMinutes(-1) })
    await letMinutePass(api.stores, shopper)
    const refused = await post(shopper, early, 'captchas')
    expect(code(refused)).toEqual([409, 'sale-not-open'])
    expect(Number(refused.headers['retry-after'])).toBeLessThan(65)
    expect((await post(shopper, soon, 'captchas')).statusCode).toBe(201)
    expect(code(await post(shopper, over, 'captchas'))).toEqual([409, 'sale-closed'])
    expect(code(await post(shopper, 4_000_000_000, 'captchas'))).toEqual([404, 'not-found'])
    const nobody = await api.app.inject({ method: 'POST', url: `/api/v1/sales/${soon}/captchas` })
    expect(code(nobody)).toEqual([401, 'login-required'])
  })
})

describe('a proof of work', () => {
  const workOf = async (who: Shopper, saleId: number) => {
    await letMinutePass(api.stores, who)
    const answer = await post(who, saleId, 'captchas', { kind: 'work' })
    return answer.json<{ captchaId: string; work: Work }>()
  }

  it('buys a token once', async () => {
    const saleId = await addSale(api.stores)
    const { captchaId, work } = await workOf(shopper, saleId)
    const answer = doWork(work)
    expect((await post(shopper, saleId, 'purchase-tokens', { captchaId, answer })).statusCode).toBe(201)
    expect(code(await post(shopper, saleId, 'purchase-tokens', { captchaId, answer }))).toEqual(EXPIRED)
  })

  it('that was done for another challenge, somebody else or another sale, or is no number, is wrong', async () => {
    const [saleId, other] = [await addSale(api.stores), await addSale(api.stores)]
    const stranger = await newShopper(api)
    const before = await workOf(shopper, saleId)
    const answer = doWork(before.work)
    const later = await workOf(shopper, saleId)
    const attempts: [Shopper, number, object][] = [
      [shopper, saleId, { captchaId: later.captchaId, answer }],
      [stranger, saleId, { captchaId: before.captchaId, answer }],
    ]
    const elsewhere = await workOf(shopper, saleId)
    attempts.push([shopper, other, { captchaId: elsewhere.captchaId, answer: doWork(elsewhere.work) }])
    for (const junk of ['-1', '1e3', '0x10', ' ', '９', '9'.repeat(64)]) {
      attempts.push([shopper, saleId, { captchaId: (await workOf(shopper, saleId)).captchaId, answer: junk }])
    }
    for (const [who, at, body] of attempts) {
      expect(code(await post(who, at, 'purchase-tokens', body))).toEqual(INCORRECT)
    }
    const invented = { captchaId: 'A'.repeat(22), answer }
    expect(code(await post(shopper, saleId, 'purchase-tokens', invented))).toEqual(EXPIRED)
  })
})

describe('a purchase', () => {
  const buy = (who: Shopper, saleId: number, token?: string) =>
    post(who, saleId, 'orders', undefined, token === undefined ? {} : { 'x-purchase-token': token })

  it('without a token never reaches stock, whatever stands in its place', async () => {
    const saleId = await addWarmSale(api.stores)
    const token = await passGate(api, await newShopper(api), saleId)
    const elsewhere = await passGate(api, shopper, await addWarmSale(api.stores))
    const session = decodeURIComponent(shopper.cookie.split('=')[1] ?? '')
    const forged = createPurchaseTokens(['f'.repeat(32)]).sign({
      saleId,
      userId: shopper.userId,
      issuedAtMs: Date.now(),
      notBeforeMs: 0,
      expiresAtMs: Date.now() + 60_000,
    })
    // What the api gives out for other purposes: the id of an order, and the place in a list that begins with it.
    const sold = await addWarmSale(api.stores)
    const bought = await buy(shopper, sold, await passGate(api, shopper, sold))
    const { orderId } = bought.json<{ orderId: string }>()
    const given = [
      undefined,
      '',
      'x',
      token,
      elsewhere,
      session,
      forged,
      orderId,
      `${Date.now()}-${orderId}`,
      'A'.repeat(1024 * 1024),
    ]
    for (const one of given) expect(code(await buy(shopper, saleId, one))).toEqual(INVALID)
    expect(await unitsLeft(api.stores, saleId)).toBe(10)
    expect((await api.stores.redis.keys(`*{sale:${saleId}}:tokens-spent`)).length).toBe(0)
  })

  it('with one token, 50 times at once, is one order', async () => {
    const saleId = await addWarmSale(api.stores)
    const buyer = await newShopper(api)
    const token = await passGate(api, buyer, saleId)
    const answers = await Promise.all(Array.from({ length: 50 }, () => buy(buyer, saleId, token)))
    expect(new Set(answers.map((answer) => answer.json<{ orderId?: string }>().orderId)).size).toBe(1)
    expect(await unitsLeft(api.stores, saleId)).toBe(9)
  })

  it('before the opening is told when to come, although the token is good', async () => {
    const opensAt = new Date(Date.now() + 60_000)
    const saleId = await addWarmSale(api.stores, { opensAt })
    const token = await passGate(api, shopper, saleId)
    const answer = await buy(shopper, saleId, token)
    expect(code(answer)).toEqual([409, 'sale-not-open'])
    expect(answer.json()).toMatchObject({ opensAtMs: opensAt.getTime() })
  })
})

describe('where a user stands', () => {
  const viewer = (who: Shopper, saleId: number) =>
    who.call({ url: `/api/v1/sales/${saleId}/viewer` }).then((answer) => answer.json<object>())

  it('follows the human check, and another device gets the token', async () => {
    const saleId = await addWarmSale(api.stores)
    const buyer = await newShopper(api)
    expect(await viewer(buyer, saleId)).toMatchObject({ viewerState: 'open_needs_check', token: 'none' })
    const purchaseToken = await passGate(api, buyer, saleId)
    const { phone, password } = buyer
    const login = await api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      payload: { phone, password },
    })
    const cookie = cookieOf(login)
    const elsewhere = await api.app.inject({ url: `/api/v1/sales/${saleId}/viewer`, headers: { cookie } })
    expect(elsewhere.json()).toMatchObject({ viewerState: 'open_ready', token: 'held', purchaseToken })
  })

  it('is warming before the opening, then ready', async () => {
    const saleId = await addWarmSale(api.stores, { opensAt: new Date(Date.now() + 60_000) })
    expect(await viewer(shopper, saleId)).toMatchObject({ viewerState: 'warming', token: 'none' })
    await letMinutePass(api.stores, shopper)
    await passGate(api, shopper, saleId)
    expect(await viewer(shopper, saleId)).toMatchObject({ viewerState: 'ready', token: 'held' })
    const later = await addWarmSale(api.stores, { opensAt: new Date(Date.now() + 700_000) })
    expect(await viewer(shopper, later)).toMatchObject({ viewerState: 'not_started' })
  })

  it('tells that all places are taken before anybody solves anything for nothing, and when to try again', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 1, tokensPerUnit: 1 })
    const solving = await newShopper(api)
    const solved = await challenge(solving, saleId)
    await passGate(api, await newShopper(api), saleId)

    expect(await viewer(solving, saleId)).toMatchObject({ token: 'exhausted' })
    for (const answer of [
      await post(solving, saleId, 'purchase-tokens', solved),
      await post(solving, saleId, 'captchas'),
    ]) {
      expect(code(answer)).toEqual([409, 'tokens-exhausted'])
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(60)
    }
  })
})
