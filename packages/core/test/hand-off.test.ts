import { setTimeout as pause } from 'node:timers/promises'

import { StoreAway } from '@blitzbuy/core/errors'
import { createOrders } from '@blitzbuy/core/order/orders'
import { createRejectReservations } from '@blitzbuy/core/order/reject-reservations'
import { connectBroker, type Broker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createPublishReservations } from '@blitzbuy/core/rabbitmq/publish'
import { PLACE_RESERVATIONS, topologyNames } from '@blitzbuy/core/rabbitmq/topology'
import { redisReady } from '@blitzbuy/core/redis/connect-redis'
import { createRedisClock } from '@blitzbuy/core/redis/redis-clock'
import { createHandOff, type HandOff } from '@blitzbuy/core/reservation/hand-off'
import { createOrderIds } from '@blitzbuy/core/reservation/order-id'
import { createPurchaseBatches } from '@blitzbuy/core/reservation/purchase-batches'
import { createRelayUnsettled } from '@blitzbuy/core/reservation/relay'
import {
  readReservationsMade,
  type Reservation,
  type ReservationsMade,
} from '@blitzbuy/core/reservation/reservations-made'
import { createReserve, RESERVE_LIMITS } from '@blitzbuy/core/stock/reserve'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { createSoldOutFlags } from '@blitzbuy/core/stock/sold-out-flags'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { connect } from 'amqplib'
import { pino } from 'pino'
import type { BrokerAsPromised } from 'rascal'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { addWarmSale, newUserId, unitsLeft, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
const log = pino({ level: 'silent' })
let publisher: Broker
let consumer: Broker
const received: ReservationsMade[] = []

beforeAll(async () => {
  const options = { url: stores.amqpUrl, namespace: stores.namespace, log }
  publisher = connectBroker({ ...options, role: 'publisher' })
  consumer = connectBroker({ ...options, role: 'consumer' })
  await publisher.connected
  const session = await (await consumer.connected).subscribe(PLACE_RESERVATIONS)
  session.on('message', (_message, content: Buffer | string, ackOrNack) => {
    const read = readReservationsMade(Buffer.from(content))
    if (read.kind === 'message') received.push(read.message)
    ackOrNack()
  })
}, 30_000)
afterAll(async () => {
  await publisher.close()
  await (await consumer.connected).nuke()
  await consumer.close()
}, 30_000)

const receivedOf = (saleId: number) => received.filter((message) => message.saleId === saleId)

async function batchesWith(handOff: HandOff, limits = RESERVE_LIMITS) {
  await redisReady(stores.redis, 5_000)
  const clock = createRedisClock(stores.redis)
  await clock.refresh()
  const flags = createSoldOutFlags()
  const orderIds = createOrderIds(['o'.repeat(32)])
  let calls = 0
  const reserve = createReserve(stores.redis, limits)
  const counted: typeof reserve = (...call) => {
    calls += 1
    return reserve(...call)
  }
  const batches = createPurchaseBatches({ reserve: counted, handOff, flags, clock, orderIds, log })
  return { batches, flags, calls: () => calls }
}

const purchaseOf = (saleId: number, userId = newUserId()) => ({
  saleId,
  userId,
  quantity: 1,
  requestId: 'r',
  tokenIssuedAtMs: 1,
})

describe('buyers of one sale who press the button together', () => {
  it('share one call of reserve and one confirmed message', async () => {
    const saleId = await addWarmSale(stores, { quota: 200 })
    const { batches, calls } = await batchesWith(
      createHandOff({ publish: createPublishReservations(publisher), log }),
    )

    const outcomes = await Promise.all(
      Array.from({ length: 200 }, () => batches.purchase(purchaseOf(saleId))),
    )

    expect(outcomes.every((outcome) => outcome.kind === 'reserved' && outcome.handoff === 'confirmed')).toBe(
      true,
    )
    expect(calls()).toBe(1)
    await vi.waitFor(() => expect(receivedOf(saleId)).toHaveLength(1))
    expect(receivedOf(saleId)[0]?.reservations).toHaveLength(200)
  })

  it('are never in more than two batches at once; whoever comes meanwhile gathers', async () => {
    const saleId = await addWarmSale(stores, { quota: 3_000 })
    let inFlight = 0
    let most = 0
    const publish = createPublishReservations(publisher)
    const counting = createHandOff({
      log,
      publish: async (body, deadlineMs) => {
        inFlight += 1
        most = Math.max(most, inFlight)
        await publish(body, deadlineMs).finally(() => (inFlight -= 1))
      },
    })
    const { batches, calls } = await batchesWith(counting)

    const outcomes = await Promise.all(
      Array.from({ length: 2_000 }, () => batches.purchase(purchaseOf(saleId))),
    )

    expect(outcomes.every((outcome) => outcome.kind === 'reserved')).toBe(true)
    expect(most).toBeLessThanOrEqual(2)
    expect(calls()).toBe(Math.ceil(2_000 / 256))
    expect(await unitsLeft(stores, saleId)).toBe(1_000)
    expect(batches.waitingCount()).toBe(0)
  })

  it('raise the sold-out flag when the last unit is gone', async () => {
    const saleId = await addWarmSale(stores, { quota: 1 })
    const { batches, flags } = await batchesWith(
      createHandOff({ publish: createPublishReservations(publisher), log }),
    )
    const outcomes = await Promise.all(
      [purchaseOf(saleId), purchaseOf(saleId)].map((one) => batches.purchase(one)),
    )
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(['reserved', 'sold_out'])
    expect(flags.isRaised(saleId)).toBe(true)
  })
})

describe('a hand-off without a confirm', () => {
  it('says so, keeps the batch, and publishes it until the broker has confirmed', async () => {
    const saleId = await addWarmSale(stores)
    const publish = createPublishReservations(publisher)
    let isAway = true
    const handOff = createHandOff({
      log,
      publish: (body, deadlineMs) =>
        isAway ? Promise.reject(new StoreAway('rabbitmq', 'not-sent', 'away')) : publish(body, deadlineMs),
    })
    const { batches } = await batchesWith(handOff)

    expect(await batches.purchase(purchaseOf(saleId))).toMatchObject({ kind: 'reserved', handoff: 'ledger' })
    expect(await batches.purchase(purchaseOf(saleId))).toMatchObject({ kind: 'reserved', handoff: 'ledger' })
    expect(handOff.keptCount()).toBe(2)

    isAway = false
    await vi.waitFor(() => expect(handOff.keptCount()).toBe(0), { timeout: 5_000 })
    await vi.waitFor(() => expect(receivedOf(saleId)).toHaveLength(2))
    await handOff.close()
  })

  it('holds up nobody: buyers who come meanwhile are told of the ledger, and none that a store is away', async () => {
    const saleId = await addWarmSale(stores, { quota: 2_000 })
    const stalled = createHandOff({
      log,
      publish: (_body, deadlineMs) =>
        pause(deadlineMs).then(() => Promise.reject(new StoreAway('rabbitmq', 'unknown', 'stalled'))),
    })
    const { batches } = await batchesWith(stalled)
    const told: Promise<{ kind: string }>[] = []
    for (let wave = 0; wave < 15; wave += 1) {
      for (let i = 0; i < 100; i += 1) told.push(batches.purchase(purchaseOf(saleId)))
      await pause(100)
    }
    const outcomes = await Promise.all(told)
    expect(outcomes.filter((outcome) => outcome.kind !== 'reserved')).toEqual([])
    await stalled.close()
  }, 20_000)

  it('goes on up to the cap of the ledger; whoever comes then is told that nothing was done', async () => {
    const saleId = await addWarmSale(stores, { quota: 10 })
    const handOff = createHandOff({
      log,
      publish: () => Promise.reject(new StoreAway('rabbitmq', 'not-sent', 'away')),
    })
    const { batches } = await batchesWith(handOff, { ...RESERVE_LIMITS, ledgerCap: 3 })
    const told = []
    for (let buyer = 0; buyer < 5; buyer += 1) told.push(await batches.purchase(purchaseOf(saleId)))

    expect(told.slice(0, 3).map((one) => one.kind === 'reserved' && one.handoff)).toEqual(
      Array.from({ length: 3 }, () => 'ledger'),
    )
    expect(told.slice(3)).toEqual([{ kind: 'overloaded' }, { kind: 'overloaded' }])
    expect(await unitsLeft(stores, saleId)).toBe(7)
    expect(handOff.keptCount()).toBe(3)
    await handOff.close()
  })

  it('comes to an end once the broker answers again, also while buyers go on buying', async () => {
    const saleId = await addWarmSale(stores, { quota: 60_000 })
    const publish = createPublishReservations(publisher)
    let isAway = true
    const handOff = createHandOff({
      log,
      publish: (body, deadlineMs) =>
        isAway ? Promise.reject(new StoreAway('rabbitmq', 'not-sent', 'away')) : publish(body, deadlineMs),
    })
    const { batches } = await batchesWith(handOff)
    const buySome = () => Promise.all(Array.from({ length: 20 }, () => batches.purchase(purchaseOf(saleId))))
    for (let batch = 0; batch < 200; batch += 1) await buySome()
    expect(handOff.keptCount()).toBe(200)

    isAway = false
    await expect
      .poll(
        async () => (await buySome()).every((one) => one.kind === 'reserved' && one.handoff === 'confirmed'),
        {
          timeout: 5_000,
          interval: 1,
        },
      )
      .toBe(true)
    await vi.waitFor(() => expect(handOff.keptCount()).toBe(0), { timeout: 10_000 })
    await handOff.close()
  }, 30_000)

  it('of a message that no queue takes is not called confirmed', async () => {
    const namespace = `${stores.namespace}x`
    const nowhere = connectBroker({ url: stores.amqpUrl, namespace, role: 'publisher', log })
    const broker = await nowhere.connected
    await deleteQueue(broker, topologyNames(namespace).queue)

    const failure = createPublishReservations(nowhere)(Buffer.from('{}'), 2_000)

    await expect(failure).rejects.toMatchObject({ store: 'rabbitmq', outcome: 'not-sent' })
    await broker.nuke()
    await nowhere.close()
  })
})

const relayDeps = () => ({
  redis: stores.redis,
  publish: createPublishReservations(publisher),
  isQueueTaken: async () => true,
  reject: async (saleId: number, list: readonly Reservation[]) => {
    const placing = await createRejectReservations(stores.mysql)(saleId, list, 'undecidable')
    await createSettle(stores.redis)(saleId, placing.decidedAtMs, placing.decisions)
  },
})

describe('the relay', () => {
  it('publishes alone what was published twice in vain, and gives it up when eight workers did not decide it', async () => {
    const saleId = await addWarmSale(stores, { quota: 10, unitsPerUser: 2 })
    const asked = (name: string) => ({
      orderId: name.repeat(26),
      userId: newUserId(),
      quantity: 2,
      requestId: 'r',
      tokenIssuedAtMs: 1,
    })
    const reserve = createReserve(stores.redis, { ...RESERVE_LIMITS, relayAfterMs: 0 })
    await reserve(saleId, Date.now() + 60_000, [asked('E'), asked('F')])
    const relay = createRelayUnsettled({ ...relayDeps(), relayAfterMs: 0 })

    for (let turn = 1; turn <= 8; turn += 1) {
      await vi.waitFor(async () => expect(await relay(saleId)).toEqual({ published: 2, rejected: 0 }))
    }
    await vi.waitFor(async () => expect(await relay(saleId)).toEqual({ published: 0, rejected: 2 }))

    await vi.waitFor(() => expect(receivedOf(saleId)).toHaveLength(2 + 6 * 2))
    expect(await createOrders(stores.mysql).find('E'.repeat(26))).toMatchObject({
      state: 'rejected',
      reason: 'undecidable',
    })
    expect(await unitsLeft(stores, saleId)).toBe(10)
    expect(await stores.redis.hlen(stockKeys(saleId).unsettled)).toBe(0)
  })

  it('gives up nobody while no worker takes messages, or the broker takes none, however long that lasts', async () => {
    const saleId = await addWarmSale(stores, { quota: 10 })
    const reserve = createReserve(stores.redis, { ...RESERVE_LIMITS, relayAfterMs: 0 })
    await reserve(saleId, Date.now() + 60_000, [
      { orderId: 'G'.repeat(26), userId: newUserId(), quantity: 1, requestId: 'r', tokenIssuedAtMs: 1 },
    ])
    let publishedCount = 0
    let isBrokerFull = false
    const relay = createRelayUnsettled({
      ...relayDeps(),
      relayAfterMs: 0,
      isQueueTaken: async () => isBrokerFull,
      publish: async () => {
        if (isBrokerFull) throw new StoreAway('rabbitmq', 'unknown', 'it blocks publishers')
        publishedCount += 1
      },
    })

    // An hour of turns.
    await vi.waitFor(
      async () => {
        await relay(saleId)
        expect(publishedCount).toBeGreaterThanOrEqual(360)
      },
      { interval: 0, timeout: 20_000 },
    )
    isBrokerFull = true
    for (let turn = 0; turn < 360; turn += 1) await relay(saleId).catch(() => undefined)

    expect(await stores.redis.hget(stockKeys(saleId).unsettled, 'G'.repeat(26))).toMatch(/:1u:r$/)
    expect(await createOrders(stores.mysql).find('G'.repeat(26))).toBeUndefined()
  })

  it('publishes again what nobody has settled in time, and nothing before', async () => {
    const saleId = await addWarmSale(stores)
    const limits = { ...RESERVE_LIMITS, relayAfterMs: 300 }
    const asked = {
      orderId: 'A'.repeat(26),
      userId: newUserId(),
      quantity: 1,
      requestId: 'r-9',
    }
    const relay = createRelayUnsettled({
      ...relayDeps(),
      relayAfterMs: limits.relayAfterMs,
    })
    const answer = await createReserve(stores.redis, limits)(saleId, Date.now() + 60_000, [
      { ...asked, tokenIssuedAtMs: 1 },
    ])
    expect(await relay(saleId)).toEqual({ published: 0, rejected: 0 })

    await expect.poll(async () => (await relay(saleId)).published, { timeout: 5_000 }).toBe(1)
    await vi.waitFor(() => expect(receivedOf(saleId)).toHaveLength(1))
    expect(receivedOf(saleId)[0]).toMatchObject({
      v: 1,
      epoch: 1,
      reservations: [{ ...asked, reservedAtMs: answer.nowMs }],
    })
    expect(await stores.redis.hget(stockKeys(saleId).unsettled, asked.orderId)).toContain(':1:r-9')
  })

  it('of several processes publishes each reservation once a turn', async () => {
    const saleId = await addWarmSale(stores, { quota: 600 })
    const reserve = createReserve(stores.redis, { ...RESERVE_LIMITS, relayAfterMs: 0 })
    for (let page = 0; page < 3; page += 1) {
      const list = Array.from({ length: 200 }, (_, i) => ({
        orderId: `B${String(page * 200 + i).padStart(25, '0')}`,
        userId: newUserId(),
        quantity: 1,
        requestId: 'r',
        tokenIssuedAtMs: 1,
      }))
      await reserve(saleId, Date.now() + 60_000, list)
    }
    await pause(2)
    const relay = createRelayUnsettled(relayDeps())
    const published = await Promise.all([relay(saleId), relay(saleId), relay(saleId)])
    expect(published.reduce((sum, one) => sum + one.published, 0)).toBe(600)
    await vi.waitFor(() => {
      const ids = receivedOf(saleId).flatMap((message) => message.reservations.map((one) => one.orderId))
      expect(ids).toHaveLength(600)
      expect(new Set(ids).size).toBe(600)
    })
  })
})

describe('a broker that refuses what is declared', () => {
  it('is asked again and again without a connection that stays open each time', async () => {
    const namespace = `${stores.namespace}y`
    const first = connectBroker({ url: stores.amqpUrl, namespace, role: 'publisher', log })
    const broker = await first.connected
    const { queue } = topologyNames(namespace)
    await deleteQueue(broker, queue)
    const connection = await connect(stores.amqpUrl)
    const channel = await connection.createChannel()
    // The same name with other arguments: every declaration of ours is refused.
    await channel.assertQueue(queue, { durable: true })
    const before = openSockets()

    let refusals = 0
    const warn = (): void => void (refusals += 1)
    const refused = connectBroker({
      url: stores.amqpUrl,
      namespace,
      role: 'publisher',
      log: { ...log, warn, debug: warn } as unknown as typeof log,
    })
    await vi.waitFor(() => expect(refusals).toBeGreaterThanOrEqual(3), { timeout: 15_000 })
    await refused.close()

    await vi.waitFor(() => expect(openSockets()).toBeLessThanOrEqual(before), { timeout: 5_000 })
    await channel.deleteQueue(queue)
    await connection.close()
    await broker.nuke()
    await first.close()
  }, 30_000)

  const openSockets = (): number =>
    process.getActiveResourcesInfo().filter((resource) => resource === 'TCPSocketWrap').length
})

/** rascal hands out amqplib's connections in their callback form. */
async function deleteQueue(broker: BrokerAsPromised, queue: string): Promise<void> {
  type Done = (error: Error | null) => void
  type Channel = {
    deleteQueue(queue: string, options: object, done: Done): void
    once(event: 'error', done: Done): void
  }
  type Connection = {
    createChannel(done: (error: Error | null, channel: Channel) => void): void
    close(done: Done): void
  }
  const [vhost] = Object.keys(broker.config.vhosts ?? {})
  const connection = (await broker.connect(vhost ?? '/')) as unknown as Connection
  await new Promise<void>((resolve, reject) => {
    const done: Done = (error) => (error ? reject(error) : resolve())
    connection.createChannel((error, channel) => {
      if (error) return reject(error)
      channel.once('error', done)
      channel.deleteQueue(queue, {}, done)
    })
  })
  await new Promise<void>((resolve) => connection.close(() => resolve()))
}
