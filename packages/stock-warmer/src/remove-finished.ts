import type { Logger } from '@blitzbuy/core/log'
import type { Sales } from '@blitzbuy/core/sale/sales'
import type { RemoveStock } from '@blitzbuy/core/stock/kept-sales'

/** However far ahead: what has not opened yet is not finished. */
const WHENEVER_MS = 10 * 365 * 86_400_000

/** Removes the keys of sales that closed more than a day ago; one whose last orders are on their way stays. */
export function createRemoveFinished(deps: {
  sales: Sales
  listKeptSales: () => Promise<number[]>
  removeStock: RemoveStock
  log: Logger
}): () => Promise<void> {
  const { sales, listKeptSales, removeStock, log } = deps

  return async () => {
    const kept = await listKeptSales()
    const due = new Set((await sales.listToWarm(WHENEVER_MS)).map((sale) => sale.saleId))
    for (const saleId of kept.filter((one) => !due.has(one))) {
      const sale = await sales.find(saleId)
      if (!sale) continue
      const outcome = await removeStock(sale)
      if (outcome === 'removed') log.info({ saleId }, 'removed the keys of a finished sale')
      else log.debug({ saleId, outcome }, 'the keys of a finished sale stay')
    }
  }
}
