import { createLog } from '@blitzbuy/core/log'
import { createOrders } from '@blitzbuy/core/order/orders'
import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { createRejectReservations } from '@blitzbuy/core/order/reject-reservations'
import { connectBroker, type Broker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createDeadLetters, type DeadLetter } from '@blitzbuy/core/rabbitmq/dead-letters'
import { createPublishDeadLetter, createPublishReservations } from '@blitzbuy/core/rabbitmq/publish'
import { createLookAtQueue } from '@blitzbuy/core/rabbitmq/queue-look'
import type { Reservation } from '@blitzbuy/core/reservation/reservations-made'
import { createReserve } from '@blitzbuy/core/stock/reserve'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { StoreAway } from '@blitzbuy/core/errors'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { useOwnPublisher } from '../../core/test/own-publisher.ts'
import { addWarmSale, newUserId, unitsLeft, useOwnStores } from '../../core/test/own-stores.ts'
import { subscribeToReservations, type Subscription } from '../src/subscriptions/place-reservations.ts'
import { createWorkOffReservations, type Delivered } from '../src/work-off-reservations.ts'
import { createWorkerMetrics } from '../src/worker-metrics.ts'

/** MySQL's datetime ends in the year 9999; the schema of the message lets this one through. */
const BEYOND_MYSQL_MS = 2 ** 48 - 1
const UNKNOWN_SALE = 4_000_000_000

const stores = useOwnStores()
const log = createLog({ name: 'order-worker', level: 'fatal' })
const publisher = useOwnPublisher(stores)
let broker: Broker
let subscription: Subscription

const workOffWith = (publishDeadLetter: ReturnType<typeof createPublishDeadLetter>) =>
  createWorkOffReservations({
    mysql: stores.mysql,
    placeReservations: createPlaceReservations(stores.mysql),
    rejectReservations: createRejectReservations(stores.mysql),
    publishDeadLetter,
    settle: createSettle(stores.redis),
    askForReconcile: async () => undefined,
    log,
  })

beforeAll(async () => {
  broker = connectBroker({ url: stores.amqpUrl, namespace: stores.namespace, role: 'consumer', log })
  subscription = await subscribeToReservations({
    metrics: createWorkerMetrics('unknown'),
    broker,
    workOff: workOffWith(createPublishDeadLetter(publisher.broker)),
    log,
  })
}, 30_000)
afterAll(async () => {
  await subscription.close()
  await broker.close()
}, 30_000)

let made = 0
/** Reserved in Redis as buyers do; what the test changes in the message is not. */
async function reserveSome(saleId: number, count: number): Promise<Reservation[]> {
  const asked = Array.from({ length: count }, () => {
    made += 1
    return {
      orderId: String(made).padStart(26, '0'),
      userId: newUserId(),
      quantity: 1,
      requestId: `r-${made}`,
      tokenIssuedAtMs: 1,
    }
  })
  const { nowMs } = await createReserve(stores.redis)(saleId, Date.now() + 60_000, asked)
  return asked.map(({ tokenIssuedAtMs: _spent, ...one }) => ({ ...one, reservedAtMs: nowMs }))
}

const publish = (message: object) =>
  createPublishReservations(publisher.broker)(Buffer.from(JSON.stringify(message)), 5_000)
const messageOf = (saleId: number, reservations: Reservation[]) => ({ v: 1, saleId, epoch: 1, reservations })

const stateOf = async (orderId: string) => (await createOrders(stores.mysql).find(orderId))?.state
const letters = () => createDeadLetters({ url: stores.amqpUrl, namespace: stores.namespace })

async function lettersOf(matches: (letter: DeadLetter) => boolean): Promise<DeadLetter[]> {
  return (await letters().list(1_000)).filter(matches)
}

/** Nothing waits, nothing is in a worker's hand: what is acknowledged is gone from the queue for good. */
async function expectAllAcknowledged(saleId: number): Promise<void> {
  await expect.poll(() => stores.redis.hlen(stockKeys(saleId).unsettled), { timeout: 10_000 }).toBe(0)
  const look = createLookAtQueue({ url: stores.amqpUrl, namespace: stores.namespace })
  await expect.poll(async () => (await look())?.readyCount, { timeout: 10_000 }).toBe(0)
}

describe('a reservation that MySQL can never store', () => {
  it('goes to the dead letters alone, with its cause; its neighbours are placed, its buyer reads rejected', async () => {
    const saleId = await addWarmSale(stores, { quota: 20 })
    const reservations = await reserveSome(saleId, 9)
    const bad = { ...(reservations[4] as Reservation), reservedAtMs: BEYOND_MYSQL_MS }
    reservations[4] = bad

    await publish(messageOf(saleId, reservations))

    await expect.poll(() => stateOf(bad.orderId), { timeout: 10_000 }).toBe('rejected')
    for (const one of reservations.filter((other) => other !== bad))
      expect(await stateOf(one.orderId)).toBe('awaiting_payment')
    await expectAllAcknowledged(saleId)
    expect(await unitsLeft(stores, saleId)).toBe(20 - 8)
    const found = await lettersOf((letter) => letter.saleId === saleId)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject({
      cause: 'unstorable',
      orderId: bad.orderId,
      requestId: bad.requestId,
      originalMessageId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    })
    expect(JSON.parse(String(found[0]?.body))).toEqual(messageOf(saleId, [bad]))
  })

  it('is found among a thousand neighbours in several messages, and all of those are placed', async () => {
    const saleId = await addWarmSale(stores, { quota: 2_000 })
    const pages = await Promise.all([1, 2, 3, 4].map(() => reserveSome(saleId, 250)))
    const bad = pages.map((page) => ({ ...(page[7] as Reservation), reservedAtMs: BEYOND_MYSQL_MS }))
    for (const [at, page] of pages.entries()) page[7] = bad[at] as Reservation

    await Promise.all(pages.map((page) => publish(messageOf(saleId, page))))

    await expectAllAcknowledged(saleId)
    expect(await unitsLeft(stores, saleId)).toBe(2_000 - 4 * 249)
    expect((await stores.sales.find(saleId))?.unitsSold).toBe(4 * 249)
    const found = await lettersOf((letter) => letter.saleId === saleId)
    expect(new Set(found.map(({ orderId }) => orderId))).toEqual(new Set(bad.map(({ orderId }) => orderId)))
    expect(found).toHaveLength(4)
  }, 30_000)
})

describe('a body that nobody can read', () => {
  it('goes to the dead letters whole, and settles nothing; messages beside it are placed', async () => {
    const saleId = await addWarmSale(stores)
    const [good, other] = (await reserveSome(saleId, 2)) as [Reservation, Reservation]
    const bodies = ['no JSON {', JSON.stringify({ ...messageOf(saleId, [other]), v: 2 })]

    await Promise.all([
      ...bodies.map((body) => createPublishReservations(publisher.broker)(Buffer.from(body), 5_000)),
      publish(messageOf(saleId, [good])),
    ])

    await expect.poll(() => stateOf(good.orderId), { timeout: 10_000 }).toBe('awaiting_payment')
    await expect
      .poll(async () => (await lettersOf((one) => one.cause === 'unreadable')).length, { timeout: 10_000 })
      .toBe(2)
    const found = await lettersOf((one) => one.cause === 'unreadable')
    expect(found.map((letter) => String(letter.body)).toSorted()).toEqual(bodies.toSorted())
    // The ledger still has its buyer, who is relayed.
    expect(await stores.redis.hkeys(stockKeys(saleId).unsettled)).toEqual([other.orderId])
  })
})

describe('a reservation of a sale that does not exist', () => {
  it('is dead-lettered once, rejected for ever and settled', async () => {
    made += 1
    const stray = {
      orderId: String(made).padStart(26, '0'),
      userId: newUserId(),
      quantity: 1,
      requestId: 'r-stray',
      reservedAtMs: Date.now(),
    }
    await publish(messageOf(UNKNOWN_SALE, [stray]))
    await expect.poll(() => stateOf(stray.orderId), { timeout: 10_000 }).toBe('rejected')
    expect(await createOrders(stores.mysql).find(stray.orderId)).toMatchObject({ reason: 'unknown-sale' })
    await publish(messageOf(UNKNOWN_SALE, [stray]))

    const outcome = () => stores.redis.hget(`${stockKeys(UNKNOWN_SALE).orderPrefix}${stray.orderId}`, 'state')
    await expect.poll(outcome, { timeout: 10_000 }).toBe('rejected')
    const look = createLookAtQueue({ url: stores.amqpUrl, namespace: stores.namespace })
    await expect.poll(async () => (await look())?.readyCount).toBe(0)
    expect(await lettersOf((letter) => letter.orderId === stray.orderId)).toHaveLength(1)
  })
})

describe('an order id that comes with other content', () => {
  it('changes nothing for the order that stands; the other one is dead-lettered, in the same batch or later', async () => {
    const saleId = await addWarmSale(stores, { quota: 10, unitsPerUser: 2 })
    const [first, neighbour] = (await reserveSome(saleId, 2)) as [Reservation, Reservation]
    await publish(messageOf(saleId, [first]))
    await expect.poll(() => stateOf(first.orderId), { timeout: 10_000 }).toBe('awaiting_payment')

    const forged = { ...first, userId: newUserId(), quantity: 2 }
    const twin = { ...neighbour, quantity: 2 }
    await publish(messageOf(saleId, [forged, neighbour, twin]))

    await expect.poll(() => stateOf(neighbour.orderId), { timeout: 10_000 }).toBe('awaiting_payment')
    await expectAllAcknowledged(saleId)
    await expect
      .poll(async () => (await lettersOf((letter) => letter.saleId === saleId)).length, { timeout: 10_000 })
      .toBe(2)
    expect(await createOrders(stores.mysql).findLive(saleId, first.userId)).toMatchObject({ quantity: 1 })
    expect(await createOrders(stores.mysql).findLive(saleId, forged.userId)).toBeUndefined()
    const found = await lettersOf((letter) => letter.saleId === saleId)
    expect(found.map(({ cause }) => cause)).toEqual(['other-content', 'other-content'])
    expect(new Set(found.map(({ orderId }) => orderId))).toEqual(new Set([first.orderId, neighbour.orderId]))
    expect(await unitsLeft(stores, saleId)).toBe(8)
    expect(await stores.redis.hgetall(stockKeys(saleId).holds)).toEqual(
      Object.fromEntries([first, neighbour].map(({ orderId, userId }) => [orderId, `${userId}:1`])),
    )
  })
})

describe('a broker that takes no dead letter', () => {
  it('is waited for; meanwhile the neighbours are placed and settled, and the buyer is not rejected yet', async () => {
    const saleId = await addWarmSale(stores)
    const [good, late] = (await reserveSome(saleId, 2)) as [Reservation, Reservation]
    const bad = { ...late, reservedAtMs: BEYOND_MYSQL_MS }
    const taken: string[] = []
    let isAway = true
    const workOff = workOffWith(async (_body, { orderId = '' }) => {
      if (isAway) throw new StoreAway('rabbitmq', 'unknown', new Error('it blocks publishers'))
      taken.push(orderId)
    })
    const message = { kind: 'reservations', messageId: 'm', ...messageOf(saleId, [good, bad]) } as Delivered
    const working = workOff([message], new AbortController().signal)

    const left = () => stores.redis.hkeys(stockKeys(saleId).unsettled)
    await expect.poll(left, { timeout: 10_000 }).toEqual([bad.orderId])
    expect(await stateOf(good.orderId)).toBe('awaiting_payment')
    expect(await stateOf(bad.orderId)).toBeUndefined()
    isAway = false
    await working

    expect(taken).toEqual([bad.orderId])
    expect(await stateOf(bad.orderId)).toBe('rejected')
    expect(await left()).toEqual([])
  })
})

describe('a dead letter that is published again', () => {
  it('is placed when its cause is gone; an order that is decided stays as it is', async () => {
    const saleId = await addWarmSale(stores)
    const [healthy, late] = (await reserveSome(saleId, 2)) as [Reservation, Reservation]
    const bad = { ...late, reservedAtMs: BEYOND_MYSQL_MS }
    await publish(messageOf(saleId, [bad]))
    await expect.poll(() => stateOf(bad.orderId), { timeout: 10_000 }).toBe('rejected')
    // An older release could not read it.
    await createPublishDeadLetter(publisher.broker)(
      Buffer.from(JSON.stringify(messageOf(saleId, [healthy]))),
      {
        cause: 'unreadable',
        detail: 'v must be 0',
        originalMessageId: 'from-an-older-release',
        diedAtMs: Date.now(),
      },
    )
    const mine = await lettersOf(
      ({ saleId: ofSale, originalMessageId }) =>
        ofSale === saleId || originalMessageId === 'from-an-older-release',
    )
    expect(mine).toHaveLength(2)

    await letters().replay(new Set(mine.map(({ letterId }) => letterId)))

    await expect.poll(() => stateOf(healthy.orderId), { timeout: 10_000 }).toBe('awaiting_payment')
    await expectAllAcknowledged(saleId)
    expect(await stateOf(bad.orderId)).toBe('rejected')
    expect(await unitsLeft(stores, saleId)).toBe(9)
  })
})
