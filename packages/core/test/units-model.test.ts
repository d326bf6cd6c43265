import { StoreAway } from '@blitzbuy/core/errors'
import { createCancelOrder } from '@blitzbuy/core/order/cancel-order'
import { createExpireOrders } from '@blitzbuy/core/order/expire-orders'
import { createOrders } from '@blitzbuy/core/order/orders'
import { createPayments } from '@blitzbuy/core/order/payments'
import { createPlaceReservations, readDecisions, type Placing } from '@blitzbuy/core/order/place-reservations'
import { createReconcileSale } from '@blitzbuy/core/order/reconcile-sale'
import { createReturnDueStock } from '@blitzbuy/core/order/return-due-stock'
import { createSandboxProvider } from '@blitzbuy/core/order/sandbox-provider'
import { createRelayUnsettled } from '@blitzbuy/core/reservation/relay'
import { readReservationsMade, type Reservation } from '@blitzbuy/core/reservation/reservations-made'
import { createReserve, RESERVE_LIMITS } from '@blitzbuy/core/stock/reserve'
import { createReturnStock, type ReturnStock } from '@blitzbuy/core/stock/return-stock'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import fc from 'fast-check'
import type { RowDataPacket } from 'mysql2/promise'
import { describe, expect, it } from 'vitest'

import { addWarmSale, newUserId, useOwnStores } from './own-stores.ts'

/**
 * Random sequences of everything that touches units, against the real scripts and the real SQL, each compared with a
 * model after every step.
 *
 * MODEL_RUNS=2000 runs more; MODEL_SEED=… and MODEL_PATH=… of a failure run that one again.
 */
const runs = Number(process.env.MODEL_RUNS ?? 60)
const timeLimitMs = process.env.MODEL_RUNS ? 3_600_000 : 14_000
const replay = process.env.MODEL_SEED
  ? { seed: Number(process.env.MODEL_SEED), path: process.env.MODEL_PATH ?? '' }
  : {}

const stores = useOwnStores()
let minted = 0

/** What must be true, kept apart from the code under test: no Lua and no SQL decides anything here. */
interface Model {
  quota: number
  revision: number
  /** orderId -> what MySQL must say; absent: undecided. */
  rows: Map<string, { userId: number; quantity: number; state: string; isLive: boolean }>
}

interface World {
  saleId: number
  userIds: number[]
  model: Model
  /** Messages in the queue; a taken one stays until it is acknowledged. */
  queue: Reservation[][]
  /** Words to Redis that were not said yet, or may be said again. */
  words: Placing[]
  returns: string[]
}

const liveUnits = ({ rows }: Model): number =>
  [...rows.values()].reduce((sum, row) => sum + (row.isLive ? row.quantity : 0), 0)

/** Lets a step happen twice, as after a lost answer. */
async function times(isTwice: boolean, step: () => Promise<unknown>): Promise<void> {
  await step()
  if (isTwice) await step()
}

const index = fc.nat({ max: 1_000 })
const twice = fc.boolean()
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('reserve' as const),
      who: index,
      quantity: fc.integer({ min: 1, max: 2 }),
      isPublished: fc.boolean(),
      twice,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('place' as const),
      at: index,
      isAcknowledged: fc.boolean(),
      isSettled: fc.boolean(),
      twice,
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const), at: index, twice }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('settleStale' as const), at: index }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('cancel' as const), at: index, isTold: fc.boolean(), twice }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const), at: index }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pay' as const), at: index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('return' as const), twice }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('returnLate' as const), at: index }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('configure' as const),
      by: fc.integer({ min: -2, max: 3 }),
      isLost: fc.boolean(),
      twice,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('build' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('relay' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('reconcile' as const), twice }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('empty' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('loseLedger' as const), at: index }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

async function newWorld(quota: number): Promise<World> {
  const saleId = await addWarmSale(stores, { quota, unitsPerUser: 2, paymentWindowSeconds: 3_600 })
  return {
    saleId,
    userIds: Array.from({ length: 4 }, newUserId),
    model: { quota, revision: 1, rows: new Map() },
    queue: [],
    words: [],
    returns: [],
  }
}

/** The model's own decision, by the rules of placing: one live order per user, never more than the quota. */
function decide({ model }: World, reservations: readonly Reservation[]): void {
  const inOrder = reservations.toSorted(
    (a, b) => a.reservedAtMs - b.reservedAtMs || (a.orderId < b.orderId ? -1 : 1),
  )
  for (const { orderId, userId, quantity } of inOrder) {
    if (model.rows.has(orderId)) continue
    const hasLive = [...model.rows.values()].some((row) => row.isLive && row.userId === userId)
    const fits = liveUnits(model) + quantity <= model.quota
    const isLive = !hasLive && fits
    model.rows.set(orderId, { userId, quantity, isLive, state: isLive ? 'awaiting_payment' : 'rejected' })
  }
}

const pick = <T>(list: readonly T[], at: number): T | undefined => list[at % Math.max(1, list.length)]

async function setSale(world: World, quota: number): Promise<void> {
  world.model.quota = quota
  world.model.revision += 1
  await stores.mysql.use(({ connection }) =>
    connection.query('UPDATE sales SET quota = ?, revision = ? WHERE id = ?', [
      quota,
      world.model.revision,
      world.saleId,
    ]),
  )
}

async function configure({ saleId }: World): Promise<void> {
  const sale = await stores.sales.find(saleId)
  if (sale) await createWarmSale(stores).configure(sale)
}

async function relay({ saleId, queue }: World): Promise<void> {
  await createRelayUnsettled({
    redis: stores.redis,
    relayAfterMs: 0,
    isQueueTaken: async () => false,
    reject: async () => undefined,
    publish: async (body) => {
      const read = readReservationsMade(body)
      if (read.kind === 'unreadable') throw new Error(read.problem)
      queue.push(read.message.reservations)
    },
  })(saleId)
}

/** The word to Redis comes never, as far as who said it knows: the sweep says it again. */
const answerIsLost: ReturnStock = () => Promise.reject(new StoreAway('redis', 'unknown', new Error('lost')))

/** @returns whether the order takes money. */
async function pay(orderId: string): Promise<boolean> {
  const gateway = createSandboxProvider({
    mysql: stores.mysql,
    secrets: ['s'.repeat(32)],
    publicOrigin: 'http://shop.test',
  })
  const payments = createPayments({ mysql: stores.mysql, gateway })
  const started = await payments.start(orderId, 'http://shop.test/')
  if (started.kind !== 'started') return false
  const { paymentId } = started
  const order = await createOrders(stores.mysql).find(orderId)
  if (!order) throw new Error(`${orderId} is gone`)
  const { amountCents, currency } = order
  const providerRef = `capture-${paymentId}`
  const outcome = await payments.take({ paymentId, providerRef, result: 'succeeded', amountCents, currency })
  return outcome.kind === 'paid'
}

async function take(one: Step, world: World): Promise<void> {
  const { saleId, model, queue, words, returns } = world
  const keys = stockKeys(saleId)
  const settle = createSettle(stores.redis)
  switch (one.kind) {
    case 'reserve': {
      minted += 1
      const userId = pick(world.userIds, one.who) as number
      const asked = {
        orderId: String(minted).padStart(26, '0'),
        userId,
        quantity: one.quantity,
        requestId: 'r',
      }
      const reserve = createReserve(stores.redis, { ...RESERVE_LIMITS, relayAfterMs: 0 })
      await times(one.twice, async () => {
        const { outcomes } = await reserve(saleId, Date.now() + 60_000, [
          { ...asked, tokenIssuedAtMs: Date.now() + minted },
        ])
        const [outcome] = outcomes
        if (outcome?.kind === 'reserved' && one.isPublished)
          queue.push([{ ...asked, reservedAtMs: outcome.reservedAtMs }])
      })
      return
    }
    case 'place': {
      const message = pick(queue, one.at)
      if (!message) return
      decide(world, message)
      await times(one.twice, async () =>
        words.push(await createPlaceReservations(stores.mysql)(saleId, message)),
      )
      if (!one.isSettled) return
      const word = words.at(-1) as Placing
      await settle(saleId, word.decidedAtMs, word.decisions)
      if (one.isAcknowledged) queue.splice(queue.indexOf(message), 1)
      return
    }
    case 'settle': {
      const word = pick(words, one.at)
      if (word) await times(one.twice, () => settle(saleId, word.decidedAtMs, word.decisions))
      return
    }
    case 'settleStale': {
      const word = pick(words, one.at)
      if (!word) return
      expect(await settle(saleId, word.decidedAtMs - 61_000, word.decisions)).toBe('stale')
      const fresh = await readDecisions(stores.mysql, saleId, word.decisions)
      await settle(saleId, fresh.decidedAtMs, fresh.decisions)
      return
    }
    case 'cancel':
    case 'expire': {
      const found = pick(
        [...model.rows].filter(([, row]) => row.state === 'awaiting_payment'),
        one.at,
      )
      if (!found) return
      const [orderId, row] = found
      row.isLive = false
      row.state = one.kind === 'cancel' ? 'cancelled' : 'expired'
      returns.push(orderId)
      if (one.kind === 'expire') {
        await stores.mysql.use(({ connection }) =>
          connection.query(
            'UPDATE orders SET pay_before = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE id = ?',
            [orderId],
          ),
        )
        expect(await createExpireOrders(stores.mysql)()).toBe(1)
        return
      }
      const order = await createOrders(stores.mysql).find(orderId)
      if (!order) throw new Error(`${orderId} is gone`)
      const returnStock = one.isTold ? createReturnStock(stores.redis) : answerIsLost
      const cancel = createCancelOrder({ mysql: stores.mysql, returnStock, cooldownMs: 0 })
      await times(one.twice, async () =>
        expect(await cancel({ ...order, userId: row.userId })).toBe('cancelled'),
      )
      return
    }
    case 'pay': {
      const found = pick([...model.rows], one.at)
      const order = found && (await createOrders(stores.mysql).find(found[0]))
      if (!found || !order) return
      const isDue = found[1].state === 'awaiting_payment'
      expect(await pay(order.orderId)).toBe(isDue)
      if (isDue) found[1].state = 'paid'
      return
    }
    case 'return':
      return times(one.twice, createReturnDueStock(stores.mysql, createReturnStock(stores.redis), 0))
    case 'returnLate': {
      const orderId = pick(returns, one.at)
      if (orderId) await createReturnStock(stores.redis)(saleId, [orderId])
      return
    }
    case 'configure': {
      await setSale(world, Math.max(1, liveUnits(model), model.quota + one.by))
      if (!one.isLost) await times(one.twice, () => configure(world))
      return
    }
    case 'build':
      expect(await createWarmSale(stores).build(saleId)).toBe('opened')
      return
    case 'relay':
      return relay(world)
    case 'reconcile':
      return times(one.twice, () => createReconcileSale(stores)(saleId))
    case 'empty': {
      const orderKeys = await stores.redis.keys(`${stores.namespace}:${keys.orderPrefix}*`)
      const all = [keys.stock, keys.holds, keys.holders, keys.unsettled, keys.unsettledDue]
      await stores.redis.del(...all, ...orderKeys.map((key) => key.slice(stores.namespace.length + 1)))
      return
    }
    case 'loseLedger': {
      // The hold stands, the ledger entry does not: what a lost answer of the ledger would look like.
      const orderId = pick((await stores.redis.hkeys(keys.unsettled)).toSorted(), one.at)
      if (!orderId) return
      await stores.redis.hdel(keys.unsettled, orderId)
      await stores.redis.zrem(keys.unsettledDue, orderId)
    }
  }
}

/** True after every step, whatever was lost. */
async function checkAlways({ saleId, model }: World): Promise<void> {
  const rows = await stores.mysql.use(async ({ connection }) => {
    const [found] = await connection.query<
      (RowDataPacket & { id: string; state: string; live: number | null })[]
    >('SELECT id, state, live FROM orders WHERE sale_id = ?', [saleId])
    return found
  })
  // Decided once: what MySQL says is what the model says, of every order, after every step.
  expect(new Map(rows.map((row) => [row.id, [row.state, row.live === 1]]))).toEqual(
    new Map([...model.rows].map(([id, row]) => [id, [row.state, row.isLive]])),
  )
  expect((await stores.sales.find(saleId))?.unitsSold).toBe(liveUnits(model))
  expect(liveUnits(model)).toBeLessThanOrEqual(model.quota)

  const keys = stockKeys(saleId)
  const [unitsLeft, quota] = await stores.redis.hmget(keys.stock, 'unitsLeft', 'quota')
  const held = (await stores.redis.hvals(keys.holds)).reduce(
    (sum, hold) => sum + Number(hold.split(':')[1]),
    0,
  )
  if (quota) expect(Number(unitsLeft) + held).toBe(Number(quota))
}

/** At rest Redis and MySQL say the same, order by order: nothing leaked, nothing was given back twice. */
async function comeToRest(world: World, hasFaults: boolean): Promise<void> {
  const { saleId, model, queue, words } = world
  const keys = stockKeys(saleId)
  if ((await stores.redis.exists(keys.stock)) === 0) await createWarmSale(stores).build(saleId)
  await configure(world)
  const reconcile = createReconcileSale(stores)
  if (hasFaults) await reconcile(saleId)
  await relay(world)
  for (const message of queue.splice(0)) {
    decide(world, message)
    const placing = await createPlaceReservations(stores.mysql)(saleId, message)
    await createSettle(stores.redis)(saleId, placing.decidedAtMs, placing.decisions)
  }
  await createReturnDueStock(stores.mysql, createReturnStock(stores.redis), 0)()
  // Nothing may need a repair when Redis has lost nothing, though every word comes again, late.
  if (!hasFaults) {
    for (const word of words) await createSettle(stores.redis)(saleId, word.decidedAtMs, word.decisions)
  } else await reconcile(saleId)
  await checkAlways(world)

  const live = [...model.rows].filter(([, row]) => row.isLive)
  expect(await stores.redis.hgetall(keys.holds)).toEqual(
    Object.fromEntries(live.map(([id, row]) => [id, `${row.userId}:${row.quantity}`])),
  )
  expect(await stores.redis.hgetall(keys.holders)).toEqual(
    Object.fromEntries(live.map(([id, row]) => [String(row.userId), id])),
  )
  expect(await stores.redis.hlen(keys.unsettled)).toBe(0)
  expect(Number(await stores.redis.hget(keys.stock, 'unitsLeft'))).toBe(model.quota - liveUnits(model))
  expect(await reconcile(saleId)).toMatchObject({
    endedCount: 0,
    unheldCount: 0,
    unlistedCount: 0,
    unitsDrift: 0,
  })
}

const FAULTS = new Set<Step['kind']>(['empty', 'loseLedger'])

async function holds(quota: number, steps: readonly Step[], hasFaults: boolean): Promise<void> {
  const world = await newWorld(quota)
  for (const one of steps) {
    await take(one, world)
    await checkAlways(world)
  }
  await comeToRest(world, hasFaults)
}

const quotas = fc.integer({ min: 1, max: 4 })
const sequences = (steps: fc.Arbitrary<Step>) =>
  fc.array(steps, { minLength: 15, maxLength: 60, size: 'max' })

describe('whatever happens, in whatever order, twice, late or never', { timeout: 3_600_000 }, () => {
  it('no unit is sold twice, none leaks, each order is decided once, and nothing needs a repair', async () => {
    const faultless = step.filter(({ kind }) => !FAULTS.has(kind) && kind !== 'reconcile')
    await fc.assert(
      fc.asyncProperty(quotas, sequences(faultless), (quota, steps) => holds(quota, steps, false)),
      { numRuns: runs, interruptAfterTimeLimit: timeLimitMs, ...replay },
    )
  })

  it('also when Redis loses a part or everything: reconcile makes it right', async () => {
    await fc.assert(
      fc.asyncProperty(quotas, sequences(step), (quota, steps) => holds(quota, steps, true)),
      { numRuns: runs, interruptAfterTimeLimit: timeLimitMs, ...replay },
    )
  })
})
