import { createCallbackSignatures } from '@blitzbuy/core/order/callback-signature'
import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { describe, expect, it } from 'vitest'

import { addWarmSale, unitsLeft } from '../../core/test/own-stores.ts'
import { paymentProvider, type ApiConfig } from '../src/config.ts'
import { actInSandbox, newShopper, passGate, useApiOn, useOwnApi, type Shopper } from './own-api.ts'

const api = useOwnApi()
const otherApi = useApiOn(api.stores)
const signatures = createCallbackSignatures(['c'.repeat(32)])

async function placedOrder(
  quota = 5,
): Promise<{ shopper: Shopper; saleId: number; orderId: string; url: string }> {
  const saleId = await addWarmSale(api.stores, { quota })
  const shopper = await newShopper(api)
  shopper.purchaseToken = await passGate(api, shopper, saleId)
  const bought = await shopper.call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders` })
  const { orderId } = bought.json<{ orderId: string }>()
  const reservation = {
    orderId,
    userId: shopper.userId,
    quantity: 1,
    requestId: 'r',
    reservedAtMs: Date.now(),
  }
  const { decidedAtMs, decisions } = await createPlaceReservations(api.stores.mysql)(saleId, [reservation])
  await createSettle(api.stores.redis)(saleId, decidedAtMs, decisions)
  return { shopper, saleId, orderId, url: `/api/v1/orders/${orderId}` }
}

async function begin(shopper: Shopper, url: string): Promise<{ paymentId: number; paymentUrl: string }> {
  return (await shopper.call({ method: 'POST', url: `${url}/payments` })).json()
}

function callback(body: string, headers: Record<string, string>, provider = 'sandbox') {
  return api.app.inject({
    method: 'POST',
    url: `/api/v1/payment-callbacks/${provider}`,
    headers: { 'content-type': 'application/json', ...headers },
    payload: body,
  })
}

describe('a callback of a provider', () => {
  it('counts only with its signature, wherever it comes from, and once', async () => {
    const { shopper, url } = await placedOrder()
    const { paymentId, paymentUrl } = await begin(shopper, url)
    const providerRef = paymentUrl.split('/').at(-1)
    const body = JSON.stringify({
      paymentId,
      providerRef,
      result: 'succeeded',
      amountCents: 4_900,
      currency: 'USD',
    })
    const nowMs = Date.now()
    const forger = createCallbackSignatures(['f'.repeat(32)])
    const forged = [
      {},
      forger.sign(body, nowMs),
      signatures.sign(`${body} `, nowMs),
      signatures.sign(body, nowMs - 600_000),
    ]
    for (const headers of forged) {
      const answer = await callback(body, headers)
      expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([401, 'signature-invalid'])
    }
    expect((await callback('{}', signatures.sign('{}', nowMs))).statusCode).toBe(400)
    expect((await callback(body, signatures.sign(body, nowMs), 'nobody')).statusCode).toBe(404)
    const unknown = body.replace(String(paymentId), '999999999')
    expect((await callback(unknown, signatures.sign(unknown, nowMs))).statusCode).toBe(404)
    expect((await shopper.call({ url })).json()).toMatchObject({ state: 'awaiting_payment' })

    const elsewhere = {
      ...signatures.sign(body, nowMs),
      origin: 'https://provider.example',
      'sec-fetch-site': 'cross-site',
    }
    for (const headers of [elsewhere, elsewhere]) expect((await callback(body, headers)).statusCode).toBe(204)
    expect((await shopper.call({ url })).json()).toMatchObject({
      state: 'paid',
      payment: { state: 'succeeded' },
    })
    expect((await shopper.call({ method: 'POST', url: `${url}/cancellation` })).json()).toMatchObject({
      code: 'order-paid',
    })
  })
})

describe('money on the page of the sandbox', () => {
  it.each([
    ['fail', 'awaiting_payment', undefined],
    ['pay-twice', 'paid', 'second-payment'],
    ['pay-wrong-amount', 'awaiting_payment', 'wrong-amount'],
  ])('%s leaves the order %s', async (act, state, cause) => {
    const { shopper, url } = await placedOrder()
    await actInSandbox(api, (await begin(shopper, url)).paymentUrl, act)
    const order = (await shopper.call({ url })).json<{ state: string; refunds?: { cause: string }[] }>()
    expect([order.state, order.refunds?.[0]?.cause]).toEqual([state, cause])
  })
})

describe('an order that is cancelled', () => {
  it('lowers the flag of every instance within a second, and keeps its buyer waiting for the cooldown', async () => {
    const { shopper, saleId, url } = await placedOrder(1)
    for (const { core } of [api, otherApi]) core.flags.raise(saleId, 1, 1)
    const cancel = () => shopper.call({ method: 'POST', url: `${url}/cancellation` })
    for (let times = 0; times < 2; times += 1) {
      const answer = await cancel()
      expect([answer.statusCode, answer.json<{ state: string }>().state]).toEqual([200, 'cancelled'])
    }
    await expect
      .poll(() => [api, otherApi].map(({ core }) => core.flags.isRaised(saleId)), {
        timeout: 900,
        interval: 10,
      })
      .toEqual([false, false])
    expect(await unitsLeft(api.stores, saleId)).toBe(1)
    expect((await shopper.call({ method: 'POST', url: `${url}/payments` })).json()).toMatchObject({
      code: 'order-cancelled',
    })

    const again = await shopper.call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders` })
    expect([again.statusCode, again.json()]).toMatchObject([
      409,
      { code: 'cooling-down', retryAfterMs: expect.any(Number) },
    ])
    expect(Number(again.headers['retry-after'])).toBeGreaterThan(20)
  })
})

describe('the sandbox', () => {
  it('is absent in production unless it is said', () => {
    const config = (changes: object) => ({ ...api.config, ...changes }) as ApiConfig
    expect(paymentProvider(config({ NODE_ENV: 'production' }))).toBe('none')
    expect(paymentProvider(config({ NODE_ENV: 'production', PAYMENT_PROVIDER: 'sandbox' }))).toBe('sandbox')
    expect(paymentProvider(config({ NODE_ENV: 'development' }))).toBe('sandbox')
  })
})
