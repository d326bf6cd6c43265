import type { PublishReservations } from '../rabbitmq/publish.ts'
import { createBuckets } from './buckets.ts'
import { addGauge, addHistogram, type Registry } from './registry.ts'

/** Times every message from its publishing to the broker's confirm; one that gets none counts with the time it was waited for. */
export function meterPublish(registry: Registry, publish: PublishReservations): PublishReservations {
  const buckets = createBuckets()
  let unconfirmedCount = 0
  addHistogram(
    registry,
    'blitzbuy_publish_confirm_seconds',
    'From publishing a message to the confirm of the broker, or to giving up on it.',
    () => [{ labels: {}, buckets }],
  )
  addGauge(
    registry,
    'blitzbuy_publish_unconfirmed',
    'Messages that were published and are not confirmed yet.',
    () => unconfirmedCount,
  )
  return async (body, deadlineMs, headers) => {
    const begunAtMs = performance.now()
    unconfirmedCount += 1
    try {
      await publish(body, deadlineMs, headers)
    } finally {
      unconfirmedCount -= 1
      buckets.observe((performance.now() - begunAtMs) / 1000)
    }
  }
}
