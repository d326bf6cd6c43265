import type { Sale } from './sales.ts'

export type SalePhase = 'upcoming' | 'open' | 'sold_out' | 'paused' | 'ended'

/** What a shopper is told about a sale. For display: whether units may be taken is decided by `reserve` alone. */
export function salePhase(
  sale: Pick<Sale, 'state' | 'opensAtMs' | 'closesAtMs'>,
  unitsLeft: number | undefined,
  nowMs: number,
): SalePhase {
  if (sale.state === 'closed' || nowMs >= sale.closesAtMs) return 'ended'
  if (sale.state === 'paused') return 'paused'
  if (nowMs < sale.opensAtMs) return 'upcoming'
  return unitsLeft !== undefined && unitsLeft <= 0 ? 'sold_out' : 'open'
}
