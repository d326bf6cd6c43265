import type { OrderState } from '@blitzbuy/core/order/orders'
import type { SalePhase } from '@blitzbuy/core/sale/sale-phase'

/** Where a shopper stands in a sale; pages, JSON and the script of the pages say the same. */
export type ViewerState =
  | 'not_started'
  | 'warming'
  | 'ready'
  | 'open_needs_check'
  | 'open_ready'
  | 'login_required'
  | 'blocked'
  | 'queued'
  | 'won'
  | 'already_bought'
  | 'sold_out'
  | 'paused'
  | 'ended'

/** What only the shopper's own page goes through: a try on its way, one without an answer, no server. */
export type PageState = ViewerState | 'submitting' | 'confirming' | 'offline_retrying'

export interface SaleMoment {
  phase: SalePhase
  opensAtMs: number
  /** From then on one can show to be a person. */
  checkOpensAtMs: number
  nowMs: number
}

export interface Viewer {
  isLoggedIn: boolean
  isBlocked: boolean
  hasToken: boolean
  /** Of the order that this viewer has in this sale. */
  orderState?: OrderState | 'queued' | undefined
}

/**
 * A live order comes before everything the sale itself could say; a purchase token decides what comes next.
 *
 * Also part of the pages' script, which moves on by the clock alone: no server is asked by everybody at the opening.
 */
export function viewerState(sale: SaleMoment, viewer: Viewer): ViewerState {
  switch (viewer.orderState) {
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
      return stateWithoutOrder(sale, viewer)
  }
}

function stateWithoutOrder(sale: SaleMoment, { isLoggedIn, isBlocked, hasToken }: Viewer): ViewerState {
  if (sale.phase === 'ended') return 'ended'
  if (isBlocked) return 'blocked'
  switch (sale.phase) {
    case 'upcoming':
      if (!isLoggedIn) return 'not_started'
      if (hasToken) return 'ready'
      return sale.nowMs < sale.checkOpensAtMs ? 'not_started' : 'warming'
    case 'open':
      if (!isLoggedIn) return 'login_required'
      return hasToken ? 'open_ready' : 'open_needs_check'
    case 'sold_out':
    case 'paused':
      return sale.phase
  }
}
