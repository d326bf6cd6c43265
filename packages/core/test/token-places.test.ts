import { createPurchaseTokens } from '@blitzbuy/core/gate/purchase-tokens'
import { createTokenPlaces } from '@blitzbuy/core/gate/token-places'
import { createRedisClock, type RedisClock } from '@blitzbuy/core/redis/redis-clock'
import { createReserve } from '@blitzbuy/core/stock/reserve'
import { createReturnStock } from '@blitzbuy/core/stock/return-stock'
import { beforeAll, describe, expect, it } from 'vitest'

import { addWarmSale, newUserId, unitsLeft, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
const tokens = createPurchaseTokens(['p'.repeat(32)])
let clock: RedisClock
beforeAll(async () => {
  clock = createRedisClock(stores.redis)
  await clock.refresh()
})

const placesWith = (lifetimeMs = 120_000) => createTokenPlaces({ ...stores, tokens, clock, lifetimeMs })
let lastSaleId = newUserId()
const saleOf = (changes = {}) => {
  lastSaleId += 1
  return { saleId: lastSaleId, quota: 2, tokensPerUnit: 3, opensAtMs: clock.nowMs() - 1_000, ...changes }
}

describe('the places of a sale', () => {
  it('are never more than the quota times the tokens per unit, however many ask at once', async () => {
    const sale = saleOf()
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, () => placesWith().issue(sale, newUserId())),
    )
    expect(outcomes.filter(({ kind }) => kind === 'held')).toHaveLength(6)
    expect(outcomes.filter(({ kind }) => kind === 'exhausted')).toHaveLength(94)
    expect(await placesWith().find(sale, newUserId())).toMatchObject({ kind: 'exhausted' })
    for (const outcome of outcomes) {
      if (outcome.kind !== 'exhausted') continue
      expect(outcome.retryAfterMs).toBeGreaterThan(100_000)
      expect(outcome.retryAfterMs).toBeLessThanOrEqual(120_000)
    }
  })

  it('are one per user: a new check replaces the token without a second place', async () => {
    const sale = saleOf({ quota: 1, tokensPerUnit: 2 })
    const userId = newUserId()
    const issued = []
    for (let times = 0; times < 5; times += 1) issued.push(await placesWith().issue(sale, userId))
    expect(issued.every(({ kind }) => kind === 'held')).toBe(true)
    expect(new Set(issued.map((one) => one.kind === 'held' && one.purchaseToken)).size).toBe(5)
    expect(await placesWith().find(sale, userId)).toEqual(issued.at(-1))
    expect((await placesWith().issue(sale, newUserId())).kind).toBe('held')
    expect((await placesWith().issue(sale, newUserId())).kind).toBe('exhausted')
    expect((await placesWith().issue(sale, userId)).kind).toBe('held')
  })

  it('come back when their tokens expire, used or not', async () => {
    const sale = saleOf({ quota: 1, tokensPerUnit: 1 })
    const places = placesWith(300)
    const userId = newUserId()
    await places.issue(sale, userId)
    expect(await places.find(sale, userId)).toMatchObject({ kind: 'held' })
    expect((await places.issue(sale, newUserId())).kind).toBe('exhausted')
    await expect.poll(async () => (await places.find(sale, userId)).kind, { timeout: 2_000 }).toBe('none')
    expect((await places.issue(sale, newUserId())).kind).toBe('held')
  })

  it('have no end with a cap of 0, and are none with a quota of 0', async () => {
    const [uncapped, empty] = [saleOf({ tokensPerUnit: 0 }), saleOf({ quota: 0 })]
    for (let count = 0; count < 10; count += 1) {
      expect((await placesWith().issue(uncapped, newUserId())).kind).toBe('held')
      expect((await placesWith().issue(empty, newUserId())).kind).toBe('exhausted')
    }
  })

  it('last until two minutes after the later of issue and opening', async () => {
    const opensAtMs = clock.nowMs() + 300_000
    const early = await placesWith().issue(saleOf({ opensAtMs }), 1)
    expect(early).toMatchObject({ kind: 'held', notBeforeMs: opensAtMs, expiresAtMs: opensAtMs + 120_000 })
    const late = await placesWith().issue(saleOf(), 1)
    expect(Math.abs((late.kind === 'held' ? late.expiresAtMs : 0) - clock.nowMs() - 120_000)).toBeLessThan(
      5_000,
    )
  })
})

describe('a purchase token that has bought an order', () => {
  it('leads to that order while it lives, and buys no other after it has ended; a new one does', async () => {
    const saleId = await addWarmSale(stores)
    const sale = saleOf({ saleId })
    const userId = newUserId()
    const issue = async () => {
      const held = await placesWith().issue(sale, userId)
      const verdict = tokens.read(held.kind === 'held' && held.purchaseToken, saleId, userId, clock.nowMs())
      return verdict.kind === 'valid' ? verdict.issuedAtMs : 0
    }
    let orders = 0
    const reserve = async (tokenIssuedAtMs: number) => {
      orders += 1
      const asked = {
        orderId: `${saleId}`.padStart(13, '0') + String(orders).padStart(13, '0'),
        userId,
        quantity: 1,
        requestId: 'r',
        tokenIssuedAtMs,
      }
      const { outcomes } = await createReserve(stores.redis)(saleId, Date.now() + 60_000, [asked])
      const [outcome] = outcomes
      if (!outcome) throw new Error('no answer')
      return { ...outcome, asked: asked.orderId }
    }

    const first = await issue()
    const bought = await reserve(first)
    expect(bought.kind).toBe('reserved')
    expect(await reserve(first)).toMatchObject({ kind: 'already_reserved', orderId: bought.asked })
    expect(await placesWith().find(sale, userId)).toEqual({ kind: 'none' })

    await createReturnStock(stores.redis)(saleId, [bought.asked])
    expect(await reserve(first)).toMatchObject({ kind: 'token_spent' })
    expect(await reserve(first - 1)).toMatchObject({ kind: 'token_spent' })
    expect(await unitsLeft(stores, saleId)).toBe(10)

    expect((await reserve(await issue())).kind).toBe('reserved')
    expect(await unitsLeft(stores, saleId)).toBe(9)
  })
})
