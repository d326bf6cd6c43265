import { CHECK_AHEAD_MS } from '@blitzbuy/core/gate/human-check'
import type { PlacedOrder } from '@blitzbuy/core/order/orders'
import type { QueuedOrder } from '@blitzbuy/core/order/read-order'
import type { SalePhase } from '@blitzbuy/core/sale/sale-phase'

/** Where a shopper stands in a sale; pages and JSON show the same. */
export type ViewerState =
  | 'not_started'
  | 'warming'
  | 'ready'
  | 'open_needs_check'
  | 'open_ready'
  | 'queued'
  | 'won'
  | 'already_bought'
  | 'sold_out'
  | 'paused'
  | 'ended'

interface SaleMoment {
  phase: SalePhase
  opensAtMs: number
  nowMs: number
}

/** A live order comes before everything the sale itself could say; a purchase token decides what comes next. */
export function viewerState(
  sale: SaleMoment,
  order: QueuedOrder | PlacedOrder | undefined,
  hasToken: boolean,
): ViewerState {
  switch (order?.state) {
    case 'queued':
      return 'queued'
    case 'awaiting_payment':
      return 'won'
    case 'paid':
      return 'already_bought'
    case 'cancelled':
    case 'expired':
    case 'rejected':
    case undefined:
      return stateWithoutOrder(sale, hasToken)
  }
}

function stateWithoutOrder({ phase, opensAtMs, nowMs }: SaleMoment, hasToken: boolean): ViewerState {
  switch (phase) {
    case 'upcoming':
      if (hasToken) return 'ready'
      return nowMs < opensAtMs - CHECK_AHEAD_MS ? 'not_started' : 'warming'
    case 'open':
      return hasToken ? 'open_ready' : 'open_needs_check'
    case 'sold_out':
    case 'paused':
    case 'ended':
      return phase
  }
}
