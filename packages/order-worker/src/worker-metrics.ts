import { createBuckets, WAIT_SECONDS } from '@blitzbuy/core/metrics/buckets'
import {
  addCounter,
  addGauge,
  addHistogram,
  addTally,
  createRegistry,
  type Registry,
} from '@blitzbuy/core/metrics/registry'
import { createTally, type Tally } from '@blitzbuy/core/metrics/tally'
import type { PlaceReservations } from '@blitzbuy/core/order/place-reservations'

import type { WorkOffReservations } from './work-off-reservations.ts'

/** What an order-worker counts. */
export interface WorkerMetrics {
  registry: Registry
  orderResults: Tally<'awaiting_payment' | 'rejected' | 'expired'>
  countPlacing(place: PlaceReservations): PlaceReservations
  timeWork(work: WorkOffReservations): WorkOffReservations
  delivered(isRedelivery: boolean): void
  done(): void
}

export function createWorkerMetrics(commit: string): WorkerMetrics {
  const registry = createRegistry(commit)
  const orderResults = createTally(['awaiting_payment', 'rejected', 'expired'] as const)
  const acceptToOrder = createBuckets([...WAIT_SECONDS, 10, 30, 60])
  const worked = { done: createBuckets([...WAIT_SECONDS, 10, 30, 60]), given_up: createBuckets() }
  let inHandCount = 0
  let redeliveryCount = 0

  addTally(
    registry,
    'blitzbuy_order_results_total',
    'Orders that came to a state; each process counts those that it brought there.',
    'result',
    orderResults,
  )
  addHistogram(
    registry,
    'blitzbuy_accept_to_order_seconds',
    'From the reservation in Redis to the decision in MySQL, by the clocks of the two.',
    () => [{ labels: {}, buckets: acceptToOrder }],
  )
  addHistogram(
    registry,
    'blitzbuy_worker_process_seconds',
    'From taking a batch of messages to having settled it; waiting for a store included.',
    () => Object.entries(worked).map(([result, buckets]) => ({ labels: { result }, buckets })),
  )
  addGauge(
    registry,
    'blitzbuy_worker_inflight',
    'Messages in hand that are not acknowledged yet.',
    () => inHandCount,
  )
  addCounter(registry, 'blitzbuy_redeliveries_total', 'Messages that had been given out before.', () => [
    { labels: {}, value: redeliveryCount },
  ])

  return {
    registry,
    orderResults,
    countPlacing: (place) => async (saleId, reservations) => {
      const placing = await place(saleId, reservations)
      const reservedAtMs = new Map(reservations.map((one) => [one.orderId, one.reservedAtMs]))
      for (const { orderId, state } of placing.taken ?? []) {
        orderResults.count(saleId, state === 'placed' ? 'awaiting_payment' : 'rejected')
        acceptToOrder.observe(Math.max(0, placing.decidedAtMs - (reservedAtMs.get(orderId) ?? 0)) / 1000)
      }
      return placing
    },
    timeWork: (work) => async (messages, signal) => {
      const beganAtMs = performance.now()
      const since = () => (performance.now() - beganAtMs) / 1000
      try {
        await work(messages, signal)
        worked.done.observe(since())
      } catch (error) {
        worked.given_up.observe(since())
        throw error
      }
    },
    delivered(isRedelivery) {
      inHandCount += 1
      if (isRedelivery) redeliveryCount += 1
    },
    done: () => void (inHandCount -= 1),
  }
}
