import type { PlacedOrder } from '@blitzbuy/core/order/orders'
import type { QueuedOrder } from '@blitzbuy/core/order/read-order'
import type { SalePhase } from '@blitzbuy/core/sale/sale-phase'

/** Where a shopper stands in a sale; pages and JSON show the same. */
export type ViewerState =
  | 'not_started'
  | 'open_ready'
  | 'queued'
  | 'won'
  | 'already_bought'
  | 'sold_out'
  | 'paused'
  | 'ended'

const BY_PHASE: Record<SalePhase, ViewerState> = {
  upcoming: 'not_started',
  open: 'open_ready',
  sold_out: 'sold_out',
  paused: 'paused',
  ended: 'ended',
}

/** A live order comes before everything the sale itself could say. */
export function viewerState(phase: SalePhase, order: QueuedOrder | PlacedOrder | undefined): ViewerState {
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
      return BY_PHASE[phase]
  }
}
