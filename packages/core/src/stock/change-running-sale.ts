import type { Logger } from 'pino'

import { StoreAway } from '../errors.ts'
import type { ChangeOutcome, ChangeRequest, ChangeSale } from '../sale/change-sale.ts'
import type { Sales } from '../sale/sales.ts'
import type { WarmSale } from './warm-sale.ts'

export interface RunningSaleChange {
  outcome: ChangeOutcome
  /** Whether Redis has it; if not, a stock-warmer brings it into force within two seconds. */
  isTold: boolean
}

/**
 * Changes a sale in MySQL and tells Redis at once.
 *
 * Telling is a courtesy: should this process die in between, or Redis be away, the warmer compares the revisions
 * every second and tells it again.
 */
export type ChangeRunningSale = (saleId: number, request: ChangeRequest) => Promise<RunningSaleChange>

export function createChangeRunningSale(deps: {
  changeSale: ChangeSale
  sales: Sales
  warmSale: Pick<WarmSale, 'configure'>
  log: Logger
}): ChangeRunningSale {
  const { changeSale, sales, warmSale, log } = deps

  return async (saleId, request) => {
    const outcome = await changeSale(saleId, request)
    if (outcome.kind !== 'changed' || request.isDryRun) return { outcome, isTold: false }
    try {
      const sale = await sales.find(saleId)
      if (sale) await warmSale.configure(sale)
      return { outcome, isTold: true }
    } catch (error) {
      if (!(error instanceof StoreAway)) throw error
      log.warn({ err: error, saleId }, 'Redis was not told of the change; the stock-warmer will')
      return { outcome, isTold: false }
    }
  }
}
