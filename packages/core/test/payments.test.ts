import { createCallbackSignatures } from '@blitzbuy/core/order/callback-signature'
import { createCancelOrder } from '@blitzbuy/core/order/cancel-order'
import { createExpireOrders } from '@blitzbuy/core/order/expire-orders'
import { createOrders } from '@blitzbuy/core/order/orders'
import type { PaymentEvent } from '@blitzbuy/core/order/payment-gateway'
import { createPayments } from '@blitzbuy/core/order/payments'
import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { createRefundPayments } from '@blitzbuy/core/order/refund-payments'
import { createReturnDueStock } from '@blitzbuy/core/order/return-due-stock'
import { createSandboxProvider, createSandboxRefunds } from '@blitzbuy/core/order/sandbox-provider'
import { createOrderIds } from '@blitzbuy/core/reservation/order-id'
import type { Reservation } from '@blitzbuy/core/reservation/reservations-made'
import { createReserve, type ReserveOutcome } from '@blitzbuy/core/stock/reserve'
import { createReturnStock } from '@blitzbuy/core/stock/return-stock'
import { createSettle } from '@blitzbuy/core/stock/settle'
import type { RowDataPacket } from 'mysql2/promise'
import { beforeAll, describe, expect, it } from 'vitest'

import { audit, isAtRest } from '../../../test/audit.ts'
import { addWarmSale, newUserId, unitsLeft, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
const SECRETS = ['s'.repeat(32)]
const orderIds = createOrderIds(['o'.repeat(32)])
const COOLDOWN_MS = 30_000

let system: ReturnType<typeof wire>
beforeAll(() => {
  system = wire()
})

function wire() {
  const { mysql, redis } = stores
  const sandbox = createSandboxProvider({ mysql, secrets: SECRETS, publicOrigin: 'http://shop.test' })
  const returnStock = createReturnStock(redis)
  return {
    orders: createOrders(mysql),
    payments: createPayments({ mysql, gateway: sandbox }),
    sandbox,
    refund: createRefundPayments(mysql, createSandboxRefunds(mysql)),
    cancel: createCancelOrder({ mysql, returnStock, cooldownMs: COOLDOWN_MS }),
    expire: createExpireOrders(mysql),
    returnDue: createReturnDueStock(mysql, returnStock, COOLDOWN_MS),
    returnStock,
  }
}

/** Orders that wait for their money, in both stores. */
async function placeOrders(saleId: number, count: number): Promise<Reservation[]> {
  const place = createPlaceReservations(stores.mysql)
  const reserve = createReserve(stores.redis)
  const settle = createSettle(stores.redis)
  const all: Reservation[] = []
  for (let from = 0; from < count; from += 250) {
    const page = Array.from({ length: Math.min(250, count - from) }, () => {
      const userId = newUserId()
      const orderId = orderIds.mint(saleId, userId, Date.now())
      return { orderId, userId, quantity: 1, requestId: 'r', reservedAtMs: Date.now() }
    })
    await reserve(
      saleId,
      Date.now() + 60_000,
      page.map((one) => ({ ...one, tokenIssuedAtMs: 1 })),
    )
    const { decidedAtMs, decisions } = await place(saleId, page)
    await settle(saleId, decidedAtMs, decisions)
    all.push(...page)
  }
  return all
}

async function placeOrder(changes: { paymentWindowSeconds?: number } = {}) {
  const saleId = await addWarmSale(stores, { quota: 5, ...changes })
  const [order] = (await placeOrders(saleId, 1)) as [Reservation]
  return { saleId, ...order }
}

async function start(orderId: string): Promise<{ paymentId: number; providerRef: string }> {
  const started = await system.payments.start(orderId, `http://shop.test/orders/${orderId}`)
  if (started.kind !== 'started') throw new Error(started.kind)
  return { paymentId: started.paymentId, providerRef: started.paymentUrl.split('/').at(-1) ?? '' }
}

function succeeded(payment: { paymentId: number; providerRef: string }): PaymentEvent {
  return { ...payment, result: 'succeeded', amountCents: 4_900, currency: 'USD' }
}

async function captured(): Promise<Record<string, number>> {
  return stores.mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<(RowDataPacket & { state: string; n: number })[]>(
      'SELECT state, COUNT(*) AS n FROM payments WHERE captured_cents IS NOT NULL GROUP BY state',
    )
    return Object.fromEntries(rows.map(({ state, n }) => [state, n]))
  })
}

/** I11, by SQL: captures that belong neither to exactly one paid order nor to those who wait for their refund. */
async function strayMoney(): Promise<unknown[]> {
  return stores.mysql.use(async ({ connection }) => {
    const [stray] = await connection.query<RowDataPacket[]>(
      `SELECT payments.id FROM payments JOIN orders ON orders.id = order_id
        WHERE captured_cents IS NOT NULL AND payments.state NOT IN ('refund_due', 'refunded')
          AND NOT (payments.state = 'succeeded' AND orders.state = 'paid'
                   AND captured_cents = orders.amount_cents AND captured_currency = orders.currency)`,
    )
    const [unpaid] = await connection.query<RowDataPacket[]>(
      `SELECT id FROM orders WHERE state = 'paid'
          AND (SELECT COUNT(*) FROM payments WHERE order_id = orders.id AND state = 'succeeded') <> 1`,
    )
    return [...stray, ...unpaid]
  })
}

describe('a payment', () => {
  it('that is started twice, also at once, is one payment', async () => {
    const placed = await placeOrders(await addWarmSale(stores, { quota: 10 }), 10)
    for (const { orderId } of placed) {
      const begun = await Promise.all(Array.from({ length: 8 }, () => start(orderId)))
      expect(new Set(begun.map(({ providerRef, paymentId }) => `${providerRef} ${paymentId}`)).size).toBe(1)
      expect(await start(orderId)).toEqual(begun[0])
    }
  })

  it('of an order that was not placed yet is none, and leaves nothing behind', async () => {
    const orderId = orderIds.mint(1, newUserId(), Date.now())
    expect(await system.payments.start(orderId, 'http://shop.test')).toEqual({ kind: 'not_placed' })
    const left = await stores.mysql.use(async ({ connection }) => {
      const [rows] = await connection.query<RowDataPacket[]>('SELECT id FROM payments WHERE order_id = ?', [
        orderId,
      ])
      return rows
    })
    expect(left).toEqual([])
  })

  it('pays its order once, however often the provider says so, also twice at once', async () => {
    const { orderId } = await placeOrder()
    const event = succeeded(await start(orderId))
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => system.payments.take(event)))
    expect(outcomes.filter(({ kind }) => kind === 'paid')).toHaveLength(1)
    expect(outcomes.filter(({ kind }) => kind === 'duplicate')).toHaveLength(7)
    expect(await system.orders.find(orderId)).toMatchObject({
      state: 'paid',
      payment: { state: 'succeeded' },
      refunds: [],
    })
    expect(await system.payments.start(orderId, 'http://shop.test')).toEqual({
      kind: 'not_payable',
      state: 'paid',
    })
    expect(await system.payments.take({ ...event, result: 'failed' })).toEqual({ kind: 'duplicate' })
  })

  it('that fails leaves the order payable, by a new payment or by the same one after all', async () => {
    const { orderId } = await placeOrder()
    const first = await start(orderId)
    expect(await system.payments.take({ ...succeeded(first), result: 'failed' })).toEqual({ kind: 'failed' })
    expect(await system.orders.find(orderId)).toMatchObject({
      state: 'awaiting_payment',
      payment: { state: 'failed' },
    })
    const second = await start(orderId)
    expect(second.paymentId).not.toBe(first.paymentId)
    expect(await system.payments.take(succeeded(first))).toMatchObject({ kind: 'paid' })
    expect(await system.payments.take(succeeded(second))).toEqual({
      kind: 'refund_due',
      cause: 'second-payment',
    })
  })

  it.each([
    ['another amount', { amountCents: 1 }],
    ['another currency', { currency: 'CNY' }],
  ])('of %s pays nothing and is given back', async (_what, change) => {
    const { orderId } = await placeOrder()
    const event = { ...succeeded(await start(orderId)), ...change }
    expect(await system.payments.take(event)).toEqual({ kind: 'refund_due', cause: 'wrong-amount' })
    expect(await system.orders.find(orderId)).toMatchObject({
      state: 'awaiting_payment',
      refunds: [
        { state: 'due', cause: 'wrong-amount', amountCents: event.amountCents, currency: event.currency },
      ],
    })
  })

  it('that nobody began is stored nowhere', async () => {
    const event = succeeded({ paymentId: 999_999_999, providerRef: 'nowhere' })
    expect(await system.payments.take(event)).toEqual({ kind: 'unknown_payment' })
  })

  it('wins whatever the time is, while nobody has ended the order', async () => {
    const { orderId } = await placeOrder({ paymentWindowSeconds: 0 })
    expect(await system.payments.take(succeeded(await start(orderId)))).toMatchObject({ kind: 'paid' })
    await system.expire()
    expect(await system.orders.find(orderId)).toMatchObject({ state: 'paid' })
  })

  it('of an order that has ended, and a second capture, are refunded, asked again until the provider has done it', async () => {
    const ended = await placeOrder()
    const late = await start(ended.orderId)
    await system.cancel({ ...(await found(ended.orderId)), userId: ended.userId })
    const paid = await placeOrder()
    const once = await start(paid.orderId)
    for (const [{ paymentId, providerRef }, act] of [
      [late, 'pay'],
      [once, 'pay-twice'],
    ] as const) {
      const payment = await system.sandbox.find(providerRef)
      if (!payment) throw new Error(`no sandbox payment ${paymentId}`)
      await system.sandbox.act(payment, act)
    }
    // The shop is away at first: every callback comes again.
    await system.sandbox.sendDue(async () => 503, Date.now)
    const take = () =>
      system.sandbox.sendDue(async (headers, body) => {
        const callback = system.sandbox.readCallback(headers, body, Date.now())
        if (callback.kind !== 'event') return 401
        const { kind } = await system.payments.take(callback.event)
        return kind === 'unknown_payment' ? 404 : 204
      }, Date.now)
    let taken = 0
    await expect.poll(async () => (taken += await take()), { timeout: 10_000 }).toBe(3)

    const refund = (orderId: string) => system.orders.find(orderId).then((order) => order?.refunds)
    expect(await refund(ended.orderId)).toMatchObject([
      { state: 'due', cause: 'order-ended', amountCents: 4_900 },
    ])
    expect(await refund(paid.orderId)).toMatchObject([{ state: 'due', cause: 'second-payment' }])
    await expect
      .poll(async () => (await system.refund(), await refund(paid.orderId)), { timeout: 10_000 })
      .toMatchObject([{ state: 'done' }])
    expect(await refund(ended.orderId)).toMatchObject([{ state: 'done', cause: 'order-ended' }])
    expect(await strayMoney()).toEqual([])
  })
})

async function found(orderId: string) {
  const order = await system.orders.find(orderId)
  if (!order) throw new Error(`no order ${orderId}`)
  return order
}

describe('the signature of a callback', () => {
  const [old, fresh] = [
    createCallbackSignatures(['a'.repeat(32)]),
    createCallbackSignatures(['b'.repeat(32)]),
  ]
  const both = createCallbackSignatures(['b'.repeat(32), 'a'.repeat(32)])
  const check = (by: typeof both, headers: Record<string, string>, body: string, nowMs: number) =>
    by.isValid(headers['x-payment-timestamp'], headers['x-payment-signature'], body, nowMs)

  it('holds for the body and the minute it was made for, under both secrets while they are rotated', () => {
    for (const signer of [old, fresh]) expect(check(both, signer.sign('{}', 1_000), '{}', 1_000)).toBe(true)
    expect(check(fresh, old.sign('{}', 1_000), '{}', 1_000)).toBe(false)
    expect(check(both, old.sign('{}', 1_000), '{ }', 1_000)).toBe(false)
    expect(check(both, old.sign('{}', 1_000), '{}', 302_000)).toBe(false)
    expect(check(both, old.sign('{}', 400_000), '{}', 1_000)).toBe(false)
    expect(check(both, { ...old.sign('{}', 1_000), 'x-payment-timestamp': '1001' }, '{}', 1_000)).toBe(false)
    expect(check(both, {}, '{}', 1_000)).toBe(false)
  })
})

describe('an order that is cancelled', () => {
  it('gives its units back once, to both stores, and lets its buyer buy again only after the cooldown', async () => {
    const { saleId, orderId, userId } = await placeOrder()
    const order = await found(orderId)
    const states = await Promise.all(Array.from({ length: 8 }, () => system.cancel({ ...order, userId })))
    expect(new Set(states)).toEqual(new Set(['cancelled']))
    expect(await unitsLeft(stores, saleId)).toBe(5)
    expect(await isAtRest(stores, saleId)).toBe(true)
    expect(await audit(stores, saleId)).toEqual([])

    const outcome = await buyAgain(saleId, userId)
    expect(outcome).toMatchObject({
      kind: 'cooling_down',
      retryAfterMs: expect.toSatisfy((ms) => ms > 20_000),
    })
    // Nobody else waits, and the wait ends.
    expect((await buyAgain(saleId, newUserId())).kind).toBe('reserved')
    await stores.redis.pexpire(`{sale:${saleId}}:cooldown:${userId}`, 1)
    await expect.poll(async () => (await buyAgain(saleId, userId)).kind).toBe('reserved')
  })

  it('by a process that died before it told Redis, is told by the sweep, cooldown included', async () => {
    const { saleId, orderId, userId } = await placeOrder()
    const dies = createCancelOrder({
      mysql: stores.mysql,
      cooldownMs: COOLDOWN_MS,
      returnStock: () => Promise.reject(new Error('killed here')),
    })
    await expect(dies({ ...(await found(orderId)), userId })).rejects.toThrow('killed here')
    expect(await unitsLeft(stores, saleId)).toBe(4)
    expect(await isAtRest(stores, saleId)).toBe(false)

    await system.returnDue()
    expect(await audit(stores, saleId)).toEqual([])
    expect((await buyAgain(saleId, userId)).kind).toBe('cooling_down')
  })
})

async function buyAgain(saleId: number, userId: number): Promise<ReserveOutcome> {
  const orderId = orderIds.mint(saleId, userId, Date.now())
  const asked = { orderId, userId, quantity: 1, requestId: 'r', tokenIssuedAtMs: 2 }
  const { outcomes } = await createReserve(stores.redis)(saleId, Date.now() + 60_000, [asked])
  return outcomes[0] as ReserveOutcome
}

describe('1,000 orders, each paid, cancelled and expired at once', () => {
  it('end in exactly one way each; no unit and no money is lost or doubled', async () => {
    const COUNT = 1_000
    const saleId = await addWarmSale(stores, { quota: COUNT + 10, paymentWindowSeconds: 900 })
    const list = await placeOrders(saleId, COUNT)
    const before = await captured()
    const payments = new Map<string, PaymentEvent>()
    for (const { orderId } of list) payments.set(orderId, succeeded(await start(orderId)))

    const waiting = list.map((order, at) => ({ order, at }))
    const race = async (): Promise<void> => {
      for (let next = waiting.pop(); next; next = waiting.pop()) {
        const { orderId, userId } = next.order
        const order = { ...(await found(orderId)), userId }
        // Its time to pay is over in the very moment in which all three come.
        await endTimeToPay(orderId)
        const three = [
          () => system.payments.take(payments.get(orderId) as PaymentEvent),
          () => system.cancel(order),
          () => system.expire(),
        ]
        const first = next.at % 3
        await Promise.all([...three.slice(first), ...three.slice(0, first)].map((act) => act()))
      }
    }
    await Promise.all(Array.from({ length: 3 }, race))
    await system.expire()
    await system.returnDue()

    expect(await isAtRest(stores, saleId)).toBe(true)
    expect(await audit(stores, saleId)).toEqual([])
    expect(await strayMoney()).toEqual([])
    const states = await stateCounts(saleId)
    const { paid = 0, cancelled = 0, expired = 0 } = states
    expect(paid + cancelled + expired).toBe(COUNT)
    // It was a race: each of them won some.
    expect(Math.min(paid, cancelled, expired)).toBeGreaterThan(0)
    expect(await unitsLeft(stores, saleId)).toBe(COUNT + 10 - paid)
    const after = await captured()
    expect((after['succeeded'] ?? 0) - (before['succeeded'] ?? 0)).toBe(paid)
    expect((after['refund_due'] ?? 0) - (before['refund_due'] ?? 0)).toBe(COUNT - paid)
  }, 120_000)
})

async function endTimeToPay(orderId: string): Promise<void> {
  await stores.mysql.use(({ connection }) =>
    connection.query('UPDATE orders SET pay_before = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE id = ?', [
      orderId,
    ]),
  )
}

async function stateCounts(saleId: number): Promise<Record<string, number>> {
  return stores.mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<(RowDataPacket & { state: string; n: number })[]>(
      'SELECT state, COUNT(*) AS n FROM orders WHERE sale_id = ? GROUP BY state',
      [saleId],
    )
    return Object.fromEntries(rows.map(({ state, n }) => [state, n]))
  })
}

describe('a backlog of unpaid orders', () => {
  it('is ended and told by one call each, not a thousand a second', async () => {
    const saleId = await addWarmSale(stores, { quota: 2_500, paymentWindowSeconds: 0 })
    await placeOrders(saleId, 2_500)
    await expect.poll(() => system.expire()).toBe(2_500)
    expect(await system.returnDue()).toBe(2_500)
    expect(await unitsLeft(stores, saleId)).toBe(2_500)
    expect(await audit(stores, saleId)).toEqual([])
  })
})
