import type { OrderState, Refund } from '@blitzbuy/core/order/orders'
import type { RefundCause } from '@blitzbuy/core/order/payments'
import type { RejectReason } from '@blitzbuy/core/order/place-reservations'
import type { SandboxAct } from '@blitzbuy/core/order/sandbox-provider'
import type { SalePhase } from '@blitzbuy/core/sale/sale-phase'
import type { Region } from '@blitzbuy/core/user/phone'

import type { RefusalCode } from '../refusals.ts'
import type { PageState } from '../viewer-state.ts'

type ShownOrderState = OrderState | 'queued'

/** Texts that are looked up by a code: a new code without its text does not compile. */
export type RequiredTextKey =
  | `refusal.${RefusalCode}`
  | `state.${PageState}`
  | `reason.${PageState}`
  | `phase.${SalePhase}`
  | `list.${SalePhase}`
  | `order.state.${ShownOrderState}`
  | `order.headline.${ShownOrderState}`
  | `order.text.${ShownOrderState}`
  | `order.reason.${RejectReason}`
  | `order.refund.${Refund['state']}.${RefundCause}`
  | `sandbox.${SandboxAct}`
  | `account.region.${Region}`
