import { randomBytes } from 'node:crypto'

import { afterAll, beforeEach, describe, expect, it } from 'vitest'

import { addWarmSale, newUserId, useOwnStores } from '../packages/core/test/own-stores.ts'
import { audit, auditMoment, auditMoney, auditSoldOut, auditWindow } from './audit.ts'
import { auditHistory } from './faults/audit-history.ts'
import { createHistory, type Call, type History } from './faults/history.ts'

/*
 * The auditor proves itself: each invariant is broken by hand, and it must say so. A sale that is right comes first,
 * or a violation would prove nothing.
 */
const QUOTA = 5
const stores = useOwnStores()
const NO_ALLOWANCES = { redisLostData: false, apiDied: false }

let saleId: number
let history: History
beforeEach(async () => {
  saleId = await addWarmSale(stores, { quota: QUOTA })
  history = createHistory()
})
afterAll(() => history?.close())

const key = (name: string): string => `{sale:${saleId}}:${name}`
const sql = (statement: string, values: unknown[] = []) =>
  stores.mysql.use(({ connection }) => connection.query(statement, values))

interface PlantedOrder {
  orderId: string
  userId: number
}

/** An order as the whole purchase leaves it in both stores. */
async function plantOrder({
  userId = newUserId(),
  state = 'awaiting_payment',
  quantity = 1,
  live = state === 'awaiting_payment' || state === 'paid' ? 1 : null,
  reason = null,
}: Partial<{
  userId: number
  state: string
  quantity: number
  live: number | null
  reason: string | null
}> = {}): Promise<PlantedOrder> {
  const orderId = randomBytes(13).toString('hex').toUpperCase()
  await sql(
    `INSERT INTO orders (id, sale_id, user_id, quantity, unit_price_cents, amount_cents, currency, state, live,
                         reserved_at, placed_at, reason)
     VALUES (?, ?, ?, ?, 4900, 4900, 'USD', ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), ?)`,
    [orderId, saleId, userId, quantity, state, live, reason],
  )
  if (live === 1) {
    await sql('UPDATE sales SET units_sold = units_sold + ? WHERE id = ?', [quantity, saleId])
    await stores.redis.hincrby(key('stock'), 'unitsLeft', -quantity)
    await stores.redis.hset(key('holds'), orderId, `${userId}:${quantity}`)
    await stores.redis.hset(key('holders'), userId, orderId)
  }
  history.add(told({ orderId, userId }))
  return { orderId, userId }
}

function told({ orderId, userId }: PlantedOrder, changes: Partial<Call> = {}): Call {
  return {
    at: 'api-1',
    kind: 'buy',
    userId,
    saleId,
    beganMs: performance.now(),
    tookMs: 5,
    outcome: 'ok',
    status: 202,
    orderId,
    state: 'queued',
    handoff: 'confirmed',
    ...changes,
  }
}

const atRest = () => audit(stores, saleId)
const anyMoment = async () => (await auditMoment(stores, saleId)).violations
const inHistory = () => auditHistory(stores, saleId, history, NO_ALLOWANCES)

it('finds nothing in a sale that is right', async () => {
  await plantOrder()
  await plantOrder({ state: 'cancelled' })
  await plantPayment((await plantOrder({ state: 'paid' })).orderId)
  const found = await Promise.all([
    atRest(),
    anyMoment(),
    inHistory(),
    auditMoney(stores, saleId),
    auditWindow(stores, saleId),
  ])
  expect(found.flat()).toEqual([])
})

describe('the auditor reports', () => {
  it('I1: more live units than the quota, at rest and at any moment', async () => {
    await plantOrder({ quantity: QUOTA })
    // The table's own check would keep it out, as it should.
    await sql('ALTER TABLE sales DROP CONSTRAINT never_more_sold_than_quota')
    await plantOrder()
    await sql('UPDATE sales SET units_sold = quota WHERE id = ?', [saleId])
    expect(await atRest()).toContainEqual(expect.stringMatching(/^I1: 6 live units, quota 5/))
    expect(await anyMoment()).toContainEqual(expect.stringMatching(/^I1: 6 live units, quota 5/))
    await sql('UPDATE sales SET quota = 6, units_sold = 6 WHERE id = ?', [saleId])
    await sql('ALTER TABLE sales ADD CONSTRAINT never_more_sold_than_quota CHECK (units_sold <= quota)')
  })

  it('I1: live orders that are not counted, and orders that hold units after their end', async () => {
    await plantOrder()
    await plantOrder({ state: 'cancelled', live: 1 })
    await sql('UPDATE sales SET units_sold = 0 WHERE id = ?', [saleId])
    expect(await anyMoment()).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^I1: .* units_sold/),
        expect.stringMatching(/^I1: 1 orders whose state and live differ/),
      ]),
    )
  })

  it('I2: a user with two orders, or with more units than they may have', async () => {
    const { userId } = await plantOrder()
    await sql('ALTER TABLE orders DROP INDEX one_live_order_per_user_and_sale')
    await plantOrder({ userId })
    expect(await atRest()).toContainEqual(expect.stringMatching(/^I2: user \d+ has 2 orders/))
    expect(await anyMoment()).toContainEqual(expect.stringMatching(/^I2: 1 users/))
    await sql('DELETE FROM orders WHERE user_id = ?', [userId])
    await sql('ALTER TABLE orders ADD UNIQUE INDEX one_live_order_per_user_and_sale (sale_id, user_id, live)')
    await plantOrder({ quantity: 3 })
    expect(await anyMoment()).toContainEqual(expect.stringMatching(/^I2: 1 users/))
  })

  it('I3: a unit that leaked, a hold of nobody, an order that is not held, a ledger that is not empty', async () => {
    await stores.redis.hincrby(key('stock'), 'unitsLeft', -1)
    expect(await atRest()).toContainEqual(expect.stringMatching(/^I3: 4 left \+ 0 live, quota 5/))
    expect(await anyMoment()).toContainEqual(expect.stringMatching(/^I3: 4 left \+ 0 held, quota 5/))

    await stores.redis.hset(key('holds'), 'NOBODY', '7:1')
    expect(await atRest()).toContainEqual(expect.stringMatching(/^I3: 1 holds, 0 live orders/))

    const { orderId, userId } = await plantOrder()
    await stores.redis.hdel(key('holds'), orderId)
    await stores.redis.hset(key('holders'), userId, 'ANOTHER')
    await stores.redis.hset(key('unsettled'), 'WAITING', '7:1:1:1:0:r')
    expect(await atRest()).toEqual(
      expect.arrayContaining([
        `I3: order ${orderId} has the hold undefined`,
        `I3: user ${userId} is led to ANOTHER, not to ${orderId}`,
        'I3: the ledger is not empty',
      ]),
    )
  })

  it('I4: a promise that was never decided, lost, or taken back', async () => {
    history.add(told({ orderId: 'NEVER', userId: 7 }))
    const lost = await plantOrder({ state: 'rejected', reason: 'lost' })
    const short = await plantOrder({ state: 'rejected', reason: 'sold-out' })
    expect(await inHistory()).toEqual([
      'I4: user 7 was told 202, order NEVER was never decided',
      `I4: order ${lost.orderId} (confirmed) reads lost`,
      `I4: order ${short.orderId} was told 202 and then rejected (sold-out)`,
    ])
  })

  it('I4: lost is allowed only to the ledger alone, when Redis lost it and the api died', async () => {
    const lost = await plantOrder({ state: 'rejected', reason: 'lost' })
    const allowed = { redisLostData: true, apiDied: true }
    expect(await auditHistory(stores, saleId, history, allowed)).toHaveLength(1)
    const ofLedger = createHistory()
    ofLedger.add(told(lost, { handoff: 'ledger' }))
    expect(await auditHistory(stores, saleId, ofLedger, allowed)).toEqual([])
    expect(await auditHistory(stores, saleId, ofLedger, { ...allowed, apiDied: false })).toHaveLength(1)
    ofLedger.close()
  })

  it('I5: an order that nobody was told of, unless somebody does not know what became of their try', async () => {
    const { orderId, userId } = await plantOrder()
    const empty = createHistory()
    const phantom = () => auditHistory(stores, saleId, empty, NO_ALLOWANCES)
    expect(await phantom()).toEqual([`I5: nobody told user ${userId} anything of order ${orderId}`])
    empty.add(told({ orderId, userId }, { outcome: 'refused', status: 409, orderId: undefined }))
    expect(await phantom()).toHaveLength(1)
    empty.add(told({ orderId, userId }, { outcome: 'unknown', status: 0, orderId: undefined }))
    expect(await phantom()).toEqual([])
    empty.close()
  })

  it('I5: who was told rejected and has that order after all', async () => {
    const order = await plantOrder()
    history.add(told(order, { kind: 'read', status: 200, state: 'rejected' }))
    expect(await inHistory()).toEqual([
      `I5: order ${order.orderId} was read as rejected, and is awaiting_payment`,
    ])
  })

  it('I6: units that nobody could buy, although everything was asked for', async () => {
    await plantOrder({ quantity: QUOTA - 1 })
    expect(await auditSoldOut(stores, saleId)).toEqual([
      'I6: everything was asked for; 4 of 5 units are sold',
    ])
    await plantOrder()
    expect(await auditSoldOut(stores, saleId)).toEqual([])
  })

  it('I7: an order from outside the window of its sale', async () => {
    const { orderId } = await plantOrder()
    for (const moment of ['opens_at - INTERVAL 1000 MICROSECOND', 'closes_at']) {
      await sql(`UPDATE orders SET reserved_at = (SELECT ${moment} FROM sales WHERE id = ?) WHERE id = ?`, [
        saleId,
        orderId,
      ])
      expect(await auditWindow(stores, saleId)).toEqual([expect.stringMatching(`^I7: order ${orderId}`)])
    }
  })

  it('I8: a refusal that took too long, or an api that never answered, unless it was killed or stopped', async () => {
    const slow = { outcome: 'refused', status: 503, code: 'dependency-unavailable', tookMs: 2_400 } as const
    const buyer = { orderId: '', userId: 7 }
    history.add(told(buyer, { ...slow, beganMs: performance.now() - 5_000 }))
    history.add(
      told(buyer, {
        ...slow,
        outcome: 'unknown',
        status: 0,
        code: undefined,
        beganMs: performance.now() - 5_000,
      }),
    )
    expect(await inHistory()).toEqual([
      expect.stringMatching(/^I8: api-1 took 2400 ms to refuse a buy \(503 dependency-unavailable\)/),
      expect.stringMatching(/^I8: api-1 took 2400 ms to refuse a buy \(0 no answer\)/),
    ])
    history.disturb('api-1')
    history.add(told(buyer, { ...slow, beganMs: performance.now() }))
    expect(await inHistory()).toHaveLength(2)
  })

  it('I9: a process that took ten seconds to end, or ended with a fault', async () => {
    history.ended({ name: 'api-1', signal: 'SIGTERM', tookMs: 10_100, code: 0 })
    history.ended({ name: 'worker-1', signal: 'SIGINT', tookMs: 100, code: 1 })
    expect(await inHistory()).toEqual([
      'I9: api-1 took 10100 ms to end at SIGTERM',
      'I9: worker-1 ended with 1 at SIGINT',
    ])
  })

  it('I10: a poisoned order that was placed, and neighbours that were not', async () => {
    const placed = await plantOrder()
    const rejected = await plantOrder({ state: 'rejected', reason: 'undecidable' })
    history.poisoned({
      saleId,
      badOrderId: placed.orderId,
      neighbourIds: [rejected.orderId, 'NEVER', placed.orderId],
    })
    expect((await inHistory()).filter((violation) => violation.startsWith('I10'))).toEqual([
      `I10: the poisoned order ${placed.orderId} is awaiting_payment, not rejected`,
      `I10: order ${rejected.orderId}, which came with poison, is undecidable`,
      'I10: order NEVER, which came with poison, is undecided',
    ])
  })

  it('I11: money of no order, of an order that is not paid, given back and kept; and an order paid with nothing', async () => {
    const unpaid = await plantOrder()
    const ref = await plantPayment(unpaid.orderId)
    const violation = (paid: number, refunds: number, isBack: number): string =>
      `I11: capture ${ref} of 4900 cents: ${paid} paid orders, ${refunds} refunds, given back: ${isBack}`
    expect(await auditMoney(stores, saleId)).toEqual([violation(0, 0, 0)])

    await sql(`UPDATE orders SET state = 'paid' WHERE id = ?`, [unpaid.orderId])
    expect(await auditMoney(stores, saleId)).toEqual([])
    await sql('UPDATE sandbox_captures SET refunded_at = UTC_TIMESTAMP(3) WHERE ref = ?', [ref])
    expect(await auditMoney(stores, saleId)).toEqual([
      violation(1, 0, 1),
      `I11: order ${unpaid.orderId} is paid by 0 captures`,
    ])
    await sql('DELETE FROM sandbox_captures WHERE ref = ?', [ref])
    expect(await auditMoney(stores, saleId)).toEqual([`I11: order ${unpaid.orderId} is paid by 0 captures`])
  })
})

/** A payment that the provider has captured and the shop has taken. */
async function plantPayment(orderId: string): Promise<string> {
  const ref = randomBytes(16).toString('hex')
  await sql(
    `INSERT INTO payments (order_id, provider, provider_ref, amount_cents, currency, captured_cents, captured_currency, state)
     VALUES (?, 'sandbox', ?, 4900, 'USD', 4900, 'USD', 'succeeded')`,
    [orderId, ref],
  )
  await sql(
    `INSERT INTO sandbox_payments (ref, payment_id, amount_cents, currency, return_url, pay_before)
     SELECT provider_ref, id, amount_cents, currency, 'http://localhost/', UTC_TIMESTAMP(3) FROM payments WHERE provider_ref = ?`,
    [ref],
  )
  await sql(`INSERT INTO sandbox_captures (ref, amount_cents, currency) VALUES (?, 4900, 'USD')`, [ref])
  return ref
}
