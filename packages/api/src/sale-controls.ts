import type { TextKey } from './messages/language.ts'
import type { PageState } from './viewer-state.ts'

export interface SaleControl {
  label: TextKey
  /** The button is always there; in a state in which it does nothing it says why. */
  isAble: boolean
  /** What the script says in place of the reason: it will move on by itself. */
  liveReason?: TextKey
}

/** The one button of a sale's page in each state: for the page as it comes, and for the script that goes on. */
export const SALE_CONTROLS: Record<PageState, SaleControl> = {
  not_started: { label: 'sale.buy', isAble: false, liveReason: 'live.not_started' },
  warming: { label: 'sale.get-ready-check', isAble: true, liveReason: 'live.warming' },
  ready: { label: 'sale.buy', isAble: false, liveReason: 'live.ready' },
  open_needs_check: { label: 'sale.verify-and-buy', isAble: true },
  open_ready: { label: 'sale.buy', isAble: true },
  login_required: { label: 'sale.log-in-to-buy', isAble: true },
  blocked: { label: 'sale.buy', isAble: false },
  queued: { label: 'sale.buy', isAble: false },
  won: { label: 'sale.buy', isAble: false },
  already_bought: { label: 'sale.buy', isAble: false },
  sold_out: { label: 'sale.buy', isAble: false, liveReason: 'live.sold_out' },
  paused: { label: 'sale.buy', isAble: false },
  ended: { label: 'sale.buy', isAble: false },
  submitting: { label: 'sale.sending', isAble: false },
  confirming: { label: 'sale.buy', isAble: false },
  offline_retrying: { label: 'sale.buy', isAble: false },
}
