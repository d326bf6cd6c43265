import { StoreAway } from '@blitzbuy/core/errors'
import { createLog } from '@blitzbuy/core/log'
import { createOrders } from '@blitzbuy/core/order/orders'
import { createPlaceReservations } from '@blitzbuy/core/order/place-reservations'
import { createRejectReservations } from '@blitzbuy/core/order/reject-reservations'
import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createPublishReservations } from '@blitzbuy/core/rabbitmq/publish'
import { createLookAtQueue } from '@blitzbuy/core/rabbitmq/queue-look'
import { createReserve } from '@blitzbuy/core/stock/reserve'
import { expect, it } from 'vitest'

import { useOwnPublisher } from '../../core/test/own-publisher.ts'
import { addWarmSale, newUserId, useOwnStores } from '../../core/test/own-stores.ts'
import { subscribeToReservations } from '../src/subscriptions/place-reservations.ts'
import { createWorkOffReservations } from '../src/work-off-reservations.ts'
import { createWorkerMetrics } from '../src/worker-metrics.ts'

const stores = useOwnStores()
const log = createLog({ name: 'order-worker', level: 'fatal' })
const publisher = useOwnPublisher(stores)

it('keeps a message on the queue until Redis was told: a worker that ends before leaves it to the next one', async () => {
  const saleId = await addWarmSale(stores)
  const asked = { orderId: 'A'.repeat(26), userId: newUserId(), quantity: 1, requestId: 'r' }
  const { nowMs } = await createReserve(stores.redis)(saleId, Date.now() + 60_000, [
    { ...asked, tokenIssuedAtMs: 1 },
  ])
  const broker = connectBroker({ url: stores.amqpUrl, namespace: stores.namespace, role: 'consumer', log })
  let toldCount = 0
  const subscription = await subscribeToReservations({
    broker,
    metrics: createWorkerMetrics('unknown'),
    workOff: createWorkOffReservations({
      mysql: stores.mysql,
      placeReservations: createPlaceReservations(stores.mysql),
      rejectReservations: createRejectReservations(stores.mysql),
      publishDeadLetter: async () => undefined,
      settle: async () => {
        toldCount += 1
        throw new StoreAway('redis', 'not-sent', new Error('away'))
      },
      askForReconcile: async () => undefined,
      log,
    }),
    log,
  })
  const message = { v: 1, saleId, epoch: 1, reservations: [{ ...asked, reservedAtMs: nowMs }] }
  await createPublishReservations(publisher.broker)(Buffer.from(JSON.stringify(message)), 5_000)
  await expect.poll(() => toldCount, { timeout: 10_000 }).toBeGreaterThan(0)
  expect(await createOrders(stores.mysql).find(asked.orderId)).toMatchObject({ state: 'awaiting_payment' })

  await subscription.close()
  await broker.close()

  const look = createLookAtQueue({ url: stores.amqpUrl, namespace: stores.namespace })
  await expect.poll(async () => (await look())?.readyCount, { timeout: 10_000 }).toBe(1)
}, 30_000)
