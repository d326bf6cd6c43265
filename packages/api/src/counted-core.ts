import type { HumanCheck } from '@blitzbuy/core/gate/human-check'
import type { CancelOrder } from '@blitzbuy/core/order/cancel-order'
import type { Payments } from '@blitzbuy/core/order/payments'
import type { LogIn } from '@blitzbuy/core/user/log-in'

import type { ApiMetrics } from './api-metrics.ts'

/*
 * The functions of core that routes and pages share, each counted where it is wired: core itself knows no metrics of
 * a process, and no route can forget to count.
 */

export function countLogins(logIn: LogIn, metrics: ApiMetrics): LogIn {
  return async (request) => {
    const outcome = await logIn(request)
    metrics.login(outcome.kind)
    return outcome
  }
}

/** Only answers: a challenge that is asked for says nothing about who asked. */
export function countAnswers(check: HumanCheck, metrics: ApiMetrics): HumanCheck {
  return {
    ...check,
    async answer(...args) {
      const outcome = await check.answer(...args)
      metrics.captcha(outcome.kind === 'held' ? 'solved' : outcome.kind)
      return outcome
    },
  }
}

/** Who cancels again is answered `cancelled` too, and is not counted. */
export function countCancelled(cancelOrder: CancelOrder, metrics: ApiMetrics): CancelOrder {
  return async (order) => {
    const state = await cancelOrder(order)
    if (order.state === 'awaiting_payment' && state === 'cancelled')
      metrics.orderResults.count(order.saleId, 'cancelled')
    return state
  }
}

export function countPaid(payments: Payments, metrics: ApiMetrics): Payments {
  return {
    ...payments,
    async take(event) {
      const outcome = await payments.take(event)
      if (outcome.kind === 'paid') metrics.orderResults.count(outcome.saleId, 'paid')
      return outcome
    },
  }
}
