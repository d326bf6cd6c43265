import type { Logger } from '@blitzbuy/core/log'
import type { RelayUnsettled } from '@blitzbuy/core/reservation/relay'
import type { Sales } from '@blitzbuy/core/sale/sales'

/** Publishes again, for every sale whose ledger may hold something, what has been unsettled for too long. */
export function createRelayAll(deps: {
  sales: Sales
  relay: RelayUnsettled
  warmAheadMs: number
  log: Logger
}): () => Promise<void> {
  const { sales, relay, warmAheadMs, log } = deps

  return async () => {
    for (const { saleId } of await sales.listToWarm(warmAheadMs)) {
      const published = await relay(saleId)
      if (published > 0) log.warn({ saleId, reservations: published }, 'published again what was unsettled')
    }
  }
}
