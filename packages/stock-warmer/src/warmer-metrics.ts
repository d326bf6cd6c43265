import {
  addCounter,
  addGauge,
  addGauges,
  createRegistry,
  type Registry,
  type Sample,
} from '@blitzbuy/core/metrics/registry'
import type { ReconcileSale } from '@blitzbuy/core/order/reconcile-sale'

import type { Seen, WatchedSale } from './watch-sales.ts'

export interface WarmerMetrics {
  registry: Registry
  /** Counts what comparing comes to. */
  countReconciles(reconcile: ReconcileSale): ReconcileSale
  countRelayed(outcome: { published: number; rejected: number }): void
  /** The figures of the sales, from the last look; asking for them costs nothing. */
  show(seen: () => Seen): void
}

export function createWarmerMetrics(commit: string): WarmerMetrics {
  const registry = createRegistry(commit)
  const reconciles = { same: 0, repaired: 0, not_warmed: 0, failed: 0 }
  const relayed = { published: 0, rejected: 0 }
  addCounter(registry, 'blitzbuy_reconcile_runs_total', 'Comparisons of Redis with MySQL.', () =>
    samplesOf('result', reconciles),
  )
  addCounter(
    registry,
    'blitzbuy_relayed_reservations_total',
    'Reservations that were published again, or given up.',
    () => samplesOf('result', relayed),
  )

  return {
    registry,
    countReconciles: (reconcile) => async (saleId, options) => {
      try {
        const outcome = await reconcile(saleId, options)
        if (outcome.kind === 'not_warmed') reconciles.not_warmed += 1
        else {
          const { endedCount, unheldCount, unlistedCount, unitsDrift } = outcome
          const isSame = endedCount + unheldCount + unlistedCount === 0 && (unitsDrift ?? 0) === 0
          reconciles[isSame ? 'same' : 'repaired'] += 1
        }
        return outcome
      } catch (error) {
        reconciles.failed += 1
        throw error
      }
    },
    countRelayed({ published, rejected }) {
      relayed.published += published
      relayed.rejected += rejected
    },
    show(seen) {
      addSaleGauges(registry, () => seen().sales)
      addQueueGauges(registry, seen)
      addRedisGauges(registry, seen)
    },
  }
}

function addSaleGauges(registry: Registry, sales: () => readonly WatchedSale[]): void {
  addGauges(registry, 'blitzbuy_sale_quota_units', 'Units on sale.', () =>
    sales().map(({ saleId: sale, quota }) => ({ labels: { sale }, value: quota })),
  )
  addGauges(
    registry,
    'blitzbuy_stock_units',
    'Units of a sale by where they are. `unsettled` counts reservations.',
    () => sales().flatMap(stockSamples),
  )
  addGauges(
    registry,
    'blitzbuy_stock_drift_units',
    'Units taken in Redis minus units sold in MySQL, seen twice while nothing moved.',
    () => sales().map(({ saleId: sale, standingDriftUnits: value }) => ({ labels: { sale }, value })),
  )
  addGauge(registry, 'blitzbuy_oversell_units', 'Units in live orders beyond the quotas.', () =>
    sales().reduce((sum, sale) => sum + sale.oversoldUnits, 0),
  )
  addGauge(registry, 'blitzbuy_unsettled', 'Reservations that MySQL has not decided yet.', () =>
    sales().reduce((sum, sale) => sum + sale.unsettledCount, 0),
  )
  addGauge(registry, 'blitzbuy_unsettled_oldest_seconds', 'How long the oldest of them waits.', () =>
    sales().reduce((oldest, sale) => Math.max(oldest, sale.unsettledOldestMs / 1000), 0),
  )
}

function stockSamples({ saleId: sale, stock, ...figures }: WatchedSale): Sample[] {
  const states = {
    ...(stock && { units_left: stock.unitsLeft }),
    unsettled: figures.unsettledCount,
    awaiting_payment: figures.awaitingPaymentUnits,
    paid: figures.paidUnits,
  }
  return Object.entries(states).map(([state, value]) => ({ labels: { sale, state }, value }))
}

function addQueueGauges(registry: Registry, seen: () => Seen): void {
  addGauge(
    registry,
    'blitzbuy_queue_ready',
    'Messages that wait for an order-worker.',
    () => seen().queue?.readyCount,
  )
  addGauge(
    registry,
    'blitzbuy_queue_consumers',
    'Order-workers that take messages.',
    () => seen().queue?.consumerCount,
  )
  addGauge(
    registry,
    'blitzbuy_dead_letters',
    'Messages that no order-worker could use and a person has to look at.',
    () => seen().deadLetters?.readyCount,
  )
}

function addRedisGauges(registry: Registry, seen: () => Seen): void {
  addGauge(
    registry,
    'redis_memory_used_bytes',
    'Memory that Redis uses.',
    () => seen().redis?.usedMemoryBytes,
  )
  addGauge(
    registry,
    'redis_memory_max_bytes',
    'Memory that Redis may use; 0: no limit.',
    () => seen().redis?.maxMemoryBytes,
  )
  addGauge(registry, 'redis_connected_clients', 'Connections to Redis.', () => seen().redis?.connectedClients)
  addCounter(registry, 'redis_evicted_keys_total', 'Keys that Redis threw away for want of memory.', () =>
    valueOf(seen().redis?.evictedKeys),
  )
  addCounter(registry, 'redis_rejected_connections_total', 'Connections that Redis had no place for.', () =>
    valueOf(seen().redis?.rejectedConnections),
  )
}

function valueOf(value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ labels: {}, value }]
}

function samplesOf(label: string, counts: Record<string, number>): Sample[] {
  return Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }))
}
