import type { Logger } from '@blitzbuy/core/log'
import type { RelayUnsettled } from '@blitzbuy/core/reservation/relay'

/**
 * Publishes again, for every sale that has keys in Redis, what has been unsettled for too long: also for one that
 * closed days ago, until its ledger is empty.
 */
export function createRelayAll(deps: {
  listKeptSales: () => Promise<number[]>
  relay: RelayUnsettled
  onRelayed: (outcome: { published: number; rejected: number }) => void
  log: Logger
}): () => Promise<void> {
  const { listKeptSales, relay, onRelayed, log } = deps

  return async () => {
    for (const saleId of await listKeptSales()) {
      const { published, rejected } = await relay(saleId)
      onRelayed({ published, rejected })
      if (published > 0) log.warn({ saleId, reservations: published }, 'published again what was unsettled')
      if (rejected > 0) log.error({ saleId, reservations: rejected }, 'gave up what no worker could decide')
    }
  }
}
