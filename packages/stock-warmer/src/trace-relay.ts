import type { PublishReservations } from '@blitzbuy/core/rabbitmq/publish'
import { during, type Tracing } from '@blitzbuy/core/tracing/tracing'

/** A message that is published again begins a trace of its own: the ledger does not keep the first one. */
export function traceRelay(tracing: Tracing, publish: PublishReservations): PublishReservations {
  return (body, deadlineMs) => {
    const span = tracing.beginTrace('relay reservations.made', { kind: 'producer' })
    if (!span) return publish(body, deadlineMs)
    return during(span, publish(body, deadlineMs, { traceparent: span.traceparent }))
  }
}
