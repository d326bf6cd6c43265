import { AsyncLocalStorage } from 'node:async_hooks'

import type { PlaceReservations } from '@blitzbuy/core/order/place-reservations'
import type { Settle } from '@blitzbuy/core/stock/settle'
import { during, type Span, type SpanAttributes, type Tracing } from '@blitzbuy/core/tracing/tracing'

import type { WorkOffReservations } from './work-off-reservations.ts'

/** Working off a batch of messages and its steps as spans, in the trace of the first message, linked with the others. */
export interface WorkerTraces {
  work(workOff: WorkOffReservations): WorkOffReservations
  placing(place: PlaceReservations): PlaceReservations
  settle(settle: Settle): Settle
}

export function createWorkerTraces(tracing: Tracing): WorkerTraces {
  const current = new AsyncLocalStorage<Span>()

  /** One span for each try: a store that is away is seen as a row of them. */
  function step<T>(name: string, attributes: SpanAttributes, run: () => Promise<T>): Promise<T> {
    const work = current.getStore()
    const span = work && tracing.beginBelow([work.traceparent], name, { kind: 'client', attributes })
    return span ? during(span, run()) : run()
  }

  return {
    work: (workOff) => (messages, signal) => {
      const causes = messages.map(({ traceparent }) => traceparent).filter((one) => one !== undefined)
      const span = tracing.beginBelow(causes, 'process reservations.made', {
        kind: 'consumer',
        attributes: { 'messaging.batch.message_count': messages.length },
      })
      if (!span) return workOff(messages, signal)
      return current.run(span, () => during(span, workOff(messages, signal)))
    },
    placing: (place) => (saleId, reservations) =>
      step('place', countOf(saleId, reservations), () => place(saleId, reservations)),
    settle: (settle) => (saleId, decidedAtMs, decisions) =>
      step('settle', countOf(saleId, decisions), () => settle(saleId, decidedAtMs, decisions)),
  }
}

function countOf(saleId: number, reservations: readonly unknown[]): SpanAttributes {
  return { 'blitzbuy.sale_id': saleId, 'blitzbuy.reservations': reservations.length }
}
