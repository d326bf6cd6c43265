import type { Logger } from '@blitzbuy/core/log'
import type { Broker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { PLACE_RESERVATIONS } from '@blitzbuy/core/rabbitmq/topology'
import { readReservationsMade, type ReservationsMade } from '@blitzbuy/core/reservation/reservations-made'

import { createGatherer } from '../gather.ts'
import type { WorkOffReservations } from '../work-off-reservations.ts'

export interface Subscription {
  /** Takes no more, finishes what it holds; what is not finished in time goes back to the queue. */
  close(): Promise<void>
}

const RESERVATIONS_PER_BATCH = 1_000
const LINGER_MS = 3

/** Consumes `reservations.made`; a message is acknowledged when all its reservations are settled. */
export async function subscribeToReservations(deps: {
  broker: Broker
  workOff: WorkOffReservations
  log: Logger
}): Promise<Subscription> {
  const { broker, workOff, log } = deps
  const gatherer = createGatherer<ReservationsMade>({
    weightMax: RESERVATIONS_PER_BATCH,
    lingerMs: LINGER_MS,
    weigh: (message) => message.reservations.length,
    work: workOff,
  })

  const connected = await broker.connected
  const session = await connected.subscribe(PLACE_RESERVATIONS)
  session.on('message', (message, content: Buffer | string, ackOrNack) => {
    const body = Buffer.isBuffer(content) ? content : Buffer.from(content)
    const read = readReservationsMade(body)
    if (read.kind === 'unreadable') {
      // It goes to the dead-letter queue whole; the ledger still has its buyers.
      log.error(
        { problem: read.problem, messageId: message.properties.messageId as unknown },
        'unreadable message',
      )
      return ackOrNack(new Error(read.problem))
    }
    gatherer.add({ message: read.message, ack: () => ackOrNack() })
  })
  session.on('error', (error: Error) =>
    log.warn({ err: error }, 'subscription lost; rascal subscribes again'),
  )

  return {
    async close() {
      await session.cancel().catch(() => undefined)
      await gatherer.close()
    },
  }
}
