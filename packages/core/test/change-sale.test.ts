import { createLog } from '@blitzbuy/core/log'
import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { UNITS_ROSE, channelOf } from '@blitzbuy/core/redis/channels'
import { connectRedis, connectRedisSubscriber } from '@blitzbuy/core/redis/connect-redis'
import { createChangeSale, type SaleChange } from '@blitzbuy/core/sale/change-sale'
import { createChangeRunningSale } from '@blitzbuy/core/stock/change-running-sale'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { createReserve, type ReserveOutcome } from '@blitzbuy/core/stock/reserve'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { createWarmSale, warmNeed } from '@blitzbuy/core/stock/warm-sale'
import type { RowDataPacket } from 'mysql2/promise'
import { describe, expect, it, vi } from 'vitest'

import { audit } from '../../../test/audit.ts'
import { addSale, addWarmSale, newUserId, unitsLeft, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
const log = createLog({ name: 'test', level: 'fatal' })
const actor = { name: 'ops@test' }

const changeSale = (saleId: number, change: SaleChange, expectedRevision?: number) =>
  createChangeSale(stores.mysql)(saleId, {
    action: 'sale.change',
    actor,
    change,
    ...(expectedRevision === undefined ? {} : { expectedRevision }),
  })
const changeRunning = (saleId: number, change: SaleChange, redis = stores.redis) =>
  createChangeRunningSale({
    changeSale: createChangeSale(stores.mysql),
    sales: stores.sales,
    warmSale: createWarmSale({ ...stores, redis }),
    log,
  })(saleId, { action: 'sale.change', actor, change })

let orderCount = 0
function buyers(count: number) {
  return Array.from({ length: count }, () => {
    orderCount += 1
    return { orderId: String(orderCount).padStart(26, '0'), userId: newUserId(), quantity: 1, requestId: 'r' }
  })
}

/** What the api and the worker do with buyers, without the way between them. */
async function buy(saleId: number, list: ReturnType<typeof buyers>): Promise<ReserveOutcome['kind'][]> {
  const { outcomes } = await createReserve(stores.redis)(
    saleId,
    Date.now() + 60_000,
    list.map((buyer) => ({ ...buyer, tokenIssuedAtMs: 1 })),
  )
  const won = list.flatMap((buyer, at) => {
    const outcome = outcomes[at]
    return outcome?.kind === 'reserved' ? [{ ...buyer, reservedAtMs: outcome.reservedAtMs }] : []
  })
  if (won.length > 0) {
    const { decidedAtMs, decisions } = await createPlaceReservations(stores.mysql)(saleId, won)
    await createSettle(stores.redis)(saleId, decidedAtMs, decisions)
  }
  return outcomes.map((outcome) => outcome.kind)
}

async function auditEntries(saleId: number) {
  type Row = RowDataPacket & { actorId: number | null; action: string; details: unknown }
  return stores.mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<Row[]>(
      'SELECT actor_id AS actorId, action, details FROM audit_log WHERE subject = ? ORDER BY id',
      [`sale:${saleId}`],
    )
    return rows.map(({ actorId, action, details }) => ({
      actorId,
      action,
      // MySQL gives JSON columns parsed, MariaDB as text by default.
      details: (typeof details === 'string' ? JSON.parse(details) : details) as Record<string, unknown>,
    }))
  })
}

describe('a change of a sale', () => {
  it('grows its revision by one and is written down with who, what it was and what it is', async () => {
    const saleId = await addSale(stores, { quota: 10 })

    const outcome = await changeSale(saleId, { quota: 25, tokensPerUnit: 3 })

    expect(outcome).toMatchObject({
      kind: 'changed',
      before: { quota: 10 },
      after: { quota: 25, revision: 2 },
    })
    expect(await stores.sales.find(saleId)).toMatchObject({ quota: 25, tokensPerUnit: 3, revision: 2 })
    expect(await auditEntries(saleId)).toEqual([
      {
        actorId: null,
        action: 'sale.change',
        details: {
          actor: 'ops@test',
          revision: 2,
          before: { quota: 10, tokensPerUnit: 20 },
          after: { quota: 25, tokensPerUnit: 3 },
        },
      },
    ])
  })

  it('that changes nothing leaves revision and audit log alone', async () => {
    const saleId = await addSale(stores, { quota: 10 })

    expect(await changeSale(saleId, { quota: 10 })).toMatchObject({ kind: 'unchanged' })

    expect(await stores.sales.find(saleId)).toMatchObject({ revision: 1 })
    expect(await auditEntries(saleId)).toEqual([])
  })

  it('by two operators at once keeps both, and one who has seen an older revision is told so', async () => {
    const saleId = await addSale(stores, { quota: 10 })
    const add = (units: number) =>
      createChangeSale(stores.mysql)(saleId, {
        action: 'sale.restock',
        actor,
        change: ({ quota }) => ({ quota: quota + units }),
      })

    await Promise.all(Array.from({ length: 20 }, () => add(1)))

    expect(await stores.sales.find(saleId)).toMatchObject({ quota: 30, revision: 21 })
    expect(await changeSale(saleId, { quota: 5 }, 20)).toMatchObject({
      kind: 'changed_meanwhile',
      settings: { quota: 30, revision: 21 },
    })
    expect(await changeSale(saleId, { quota: 31 }, 21)).toMatchObject({ kind: 'changed' })
  })

  it('is refused with every problem at once, each naming its field', async () => {
    const saleId = await addWarmSale(stores, { quota: 10 })
    await buy(saleId, buyers(4))

    expect(
      await changeSale(saleId, {
        quota: 3,
        priceCents: 1,
        unitsPerUser: 2,
        opensAtMs: Date.now() + 1_000,
        closesAtMs: Date.now() - 1_000,
        paymentWindowSeconds: 1,
      }),
    ).toMatchObject({
      kind: 'refused',
      problems: [
        { field: 'paymentWindowSeconds' },
        { field: 'quota', message: 'cannot be less than the 4 units that are sold' },
        { field: 'priceCents' },
        { field: 'unitsPerUser' },
        { field: 'opensAtMs' },
        { field: 'closesAtMs' },
        { field: 'closesAtMs' },
      ],
    })
    expect(await stores.sales.find(saleId)).toMatchObject({ quota: 10, revision: 1 })
  })

  it('never opens again what was closed', async () => {
    const saleId = await addWarmSale(stores)
    await changeSale(saleId, { state: 'closed' })

    expect(await changeSale(saleId, { state: 'scheduled' })).toMatchObject({ kind: 'refused' })
    expect(await changeSale(saleId, { quota: 99 })).toMatchObject({ kind: 'refused' })
  })

  it('of a sale that is not there is not found', async () => {
    expect(await changeSale(2 ** 32 - 1, { quota: 5 })).toEqual({ kind: 'not_found' })
  })
})

describe('a change of a running sale', () => {
  it('is in force at the next purchase: paused, resumed, closed', async () => {
    const saleId = await addWarmSale(stores, { quota: 10 })

    await changeRunning(saleId, { state: 'paused' })
    expect(await buy(saleId, buyers(1))).toEqual(['paused'])
    await changeRunning(saleId, { state: 'scheduled' })
    expect(await buy(saleId, buyers(1))).toEqual(['reserved'])
    await changeRunning(saleId, { state: 'closed' })
    expect(await buy(saleId, buyers(1))).toEqual(['closed'])

    expect(await audit(stores, saleId)).toEqual([])
  })

  it('that puts units on a sold-out sale lowers the flags of all instances', async () => {
    const saleId = await addWarmSale(stores, { quota: 2 })
    await buy(saleId, buyers(2))
    expect(await buy(saleId, buyers(1))).toEqual(['sold_out'])
    const subscriber = connectRedisSubscriber({ url: stores.redisUrl })
    const heard: string[] = []
    subscriber.on('message', (_channel, message: string) => heard.push(message))
    await subscriber.subscribe(channelOf(stores.redis, UNITS_ROSE))

    await changeRunning(saleId, { quota: 3 })

    await vi.waitFor(() => expect(heard.some((message) => message.startsWith(`${saleId}:1:`))).toBe(true))
    subscriber.disconnect()
    expect(await buy(saleId, buyers(1))).toEqual(['reserved'])
    expect(await audit(stores, saleId)).toEqual([])
  })

  it('never sells more than the quota that is lowered and raised while 300 people buy', async () => {
    const saleId = await addWarmSale(stores, { quota: 200 })
    const quotas = [150, 60, 120, 40, 90]

    const buying = Promise.all(Array.from({ length: 30 }, () => buy(saleId, buyers(10))))
    for (const quota of quotas) await changeRunning(saleId, { quota })
    await buying

    const sale = await stores.sales.find(saleId)
    expect(sale?.unitsSold).toBeLessThanOrEqual(sale?.quota ?? 0)
    expect(await audit(stores, saleId)).toEqual([])
  })

  it('to fewer units than are held says sold out, and what comes back is not sold', async () => {
    const saleId = await addWarmSale(stores, { quota: 10 })
    const held = buyers(6).map((buyer) => ({ ...buyer, tokenIssuedAtMs: 1 }))
    const { outcomes } = await createReserve(stores.redis)(saleId, Date.now() + 60_000, held)
    expect(outcomes.map(({ kind }) => kind)).toEqual(Array(6).fill('reserved'))

    // MySQL knows of none of the six yet, so it takes any quota.
    expect((await changeRunning(saleId, { quota: 4 })).outcome.kind).toBe('changed')

    expect(await unitsLeft(stores, saleId)).toBe(-2)
    expect(await buy(saleId, buyers(1))).toEqual(['sold_out'])
    const placing = await createPlaceReservations(stores.mysql)(
      saleId,
      held.map((one) => ({ ...one, reservedAtMs: Date.now() })),
    )
    await createSettle(stores.redis)(saleId, placing.decidedAtMs, placing.decisions)
    expect(placing.decisions.filter(({ state }) => state === 'placed')).toHaveLength(4)
    expect(await unitsLeft(stores, saleId)).toBe(0)
    expect(await audit(stores, saleId)).toEqual([])
  })

  it('that Redis was not told of is seen by the warmer, and an older one that comes late changes nothing', async () => {
    const saleId = await addWarmSale(stores, { quota: 10 })
    const before = await stores.sales.find(saleId)
    const away = connectRedis({ url: 'redis://127.0.0.1:1', namespace: stores.namespace })

    const { outcome, isTold } = await changeRunning(saleId, { quota: 12 }, away)
    away.disconnect()

    expect({ kind: outcome.kind, isTold }).toEqual({ kind: 'changed', isTold: false })
    const [sale, [copy]] = await Promise.all([
      stores.sales.find(saleId),
      createReadStocks(stores.redis)([saleId]),
    ])
    if (!sale || !before) throw new Error('no such sale')
    expect(warmNeed(sale, copy, Date.now())).toBe('configure')
    await createWarmSale(stores).configure(sale)
    await createWarmSale(stores).configure(before)
    expect(await unitsLeft(stores, saleId)).toBe(12)
    expect(await audit(stores, saleId)).toEqual([])
  })

  it('that puts off the opening is in force although the new opening is far away', async () => {
    const saleId = await addWarmSale(stores, { opensAt: new Date(Date.now() + 60_000) })
    const inADay = Date.now() + 24 * 3_600_000

    await changeSale(saleId, { opensAtMs: inADay, closesAtMs: inADay + 60_000 })

    const listed = (await stores.sales.listToWarm(1_000)).find((sale) => sale.saleId === saleId)
    expect(listed?.opensAtMs).toBe(inADay)
  })
})
