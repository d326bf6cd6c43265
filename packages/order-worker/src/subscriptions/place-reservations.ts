import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'

import type { Logger } from '@blitzbuy/core/log'
import type { Broker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { PLACE_RESERVATIONS } from '@blitzbuy/core/rabbitmq/topology'
import { readReservationsMade } from '@blitzbuy/core/reservation/reservations-made'

import { createGatherer } from '../gather.ts'
import type { Delivered, WorkOffReservations } from '../work-off-reservations.ts'
import type { WorkerMetrics } from '../worker-metrics.ts'

export interface Subscription {
  /** Takes no more, finishes what it holds; what is not finished in time goes back to the queue. */
  close(): Promise<void>
}

/** Twice as many place a tenth more, but keep the row of the sale locked for twice as long (docs/speed.md). */
const RESERVATIONS_PER_BATCH = 2_000
/** Under load the worker is never idle, and what comes meanwhile gathers anyhow: more is felt by a lone buyer only. */
const LINGER_MS = 1
const SUBSCRIBE_AGAIN_MS = 500

/** Consumes `reservations.made`; a message is acknowledged when all its reservations are settled. */
export async function subscribeToReservations(deps: {
  broker: Broker
  workOff: WorkOffReservations
  metrics: Pick<WorkerMetrics, 'delivered' | 'done'>
  log: Logger
}): Promise<Subscription> {
  const { broker, workOff, metrics, log } = deps
  const gatherer = createGatherer<Delivered>({
    weightMax: RESERVATIONS_PER_BATCH,
    lingerMs: LINGER_MS,
    weigh: (message) => (message.kind === 'reservations' ? message.reservations.length : 1),
    work: workOff,
  })

  let isClosing = false
  const connected = await broker.connected
  const session = await consume()

  return {
    async close() {
      isClosing = true
      await session.cancel().catch(() => undefined)
      await gatherer.close()
    },
  }

  /** Once it consumes, rascal subscribes again by itself after an outage; before that it would give up silently. */
  async function consume() {
    for (;;) {
      const attempt = await connected.subscribe(PLACE_RESERVATIONS)
      attempt.on('error', (error: Error) => log.warn({ err: error }, 'subscription lost'))
      attempt.on('cancelled', (error: Error) => {
        log.error({ err: error }, 'the queue is gone: declaring it again')
        void declareAgain()
      })
      const subscribed = once(attempt, 'subscribed')
      attempt.on('message', take)
      try {
        await subscribed
        return attempt
      } catch {
        await attempt.cancel().catch(() => undefined)
        await pause(SUBSCRIBE_AGAIN_MS)
      }
    }
  }

  /** rascal goes on trying to subscribe, but to a queue that was deleted, and that only a new connection declares. */
  async function declareAgain(): Promise<void> {
    while (!isClosing) {
      try {
        await broker.declareAgain()
        return
      } catch (error) {
        log.warn({ err: error }, 'the queue could not be declared; trying again')
        await pause(SUBSCRIBE_AGAIN_MS)
      }
    }
  }

  function take(
    message: {
      properties: { messageId?: unknown; headers: Record<string, unknown> | undefined }
      fields: { redelivered?: boolean }
    },
    content: Buffer | string,
    ackOrNack: (error?: Error) => void,
  ): void {
    metrics.delivered(message.fields.redelivered === true)
    const body = Buffer.isBuffer(content) ? content : Buffer.from(content)
    const messageId = typeof message.properties.messageId === 'string' ? message.properties.messageId : ''
    const traceparent = message.properties.headers?.['traceparent']
    const delivered = { messageId, ...(typeof traceparent === 'string' && { traceparent }) }
    const read = readReservationsMade(body)
    gatherer.add({
      message:
        read.kind === 'message'
          ? { kind: 'reservations', ...delivered, ...read.message }
          : { kind: 'unreadable', ...delivered, body, problem: read.problem },
      ack: () => {
        metrics.done()
        ackOrNack()
      },
    })
  }
}
