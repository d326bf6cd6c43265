import type { OrderState, Refund } from '@blitzbuy/core/order/orders'
import type { RefundCause } from '@blitzbuy/core/order/payments'
import type { RejectReason } from '@blitzbuy/core/order/place-reservations'
import type { SandboxAct } from '@blitzbuy/core/order/sandbox-provider'
import type { SalePhase } from '@blitzbuy/core/sale/sale-phase'
import type { Region } from '@blitzbuy/core/user/phone'

import type { RefusalCode } from '../refusals.ts'
import type { ViewerState } from '../viewer-state.ts'

/** A shopper without a session has a state too, which only pages know: the JSON route answers 401. */
export type PageViewerState = ViewerState | 'login_required'

type ShownOrderState = OrderState | 'queued'

/** Texts that are looked up by a code: a new code without its text does not compile. */
export type RequiredTextKey =
  | `refusal.${RefusalCode}`
  | `state.${PageViewerState}`
  | `reason.${PageViewerState}`
  | `phase.${SalePhase}`
  | `list.${SalePhase}`
  | `order.state.${ShownOrderState}`
  | `order.headline.${ShownOrderState}`
  | `order.text.${ShownOrderState}`
  | `order.reason.${RejectReason}`
  | `order.refund.${Refund['state']}.${RefundCause}`
  | `sandbox.${SandboxAct}`
  | `account.region.${Region}`
