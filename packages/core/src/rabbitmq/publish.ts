import type { PublicationConfig } from 'rascal'

import { crashPoint } from '../crash-point.ts'
import { StoreAway } from '../errors.ts'
import type { Broker } from './connect-broker.ts'
import { DEAD_LETTERS, RESERVATIONS_MADE } from './topology.ts'

/**
 * Publishes one message and waits until the broker has it on disk.
 *
 * A return (no queue took it) comes before the confirm of the same message, and is no hand-off.
 *
 * @throws StoreAway `not-sent` when there is no connection or no queue; `unknown` when no confirm came in time:
 *   the message may still be delivered.
 */
export type PublishReservations = (
  body: Buffer,
  deadlineMs: number,
  headers?: ReservationHeaders,
) => Promise<void>

/** What travels beside a message of reservations. */
export interface ReservationHeaders {
  /** The span that published it, where traces are on. */
  traceparent: string
}

export function createPublishReservations(broker: Broker): PublishReservations {
  return (body, deadlineMs, headers) =>
    publish(broker, RESERVATIONS_MADE, body, deadlineMs, headers ? { headers } : {})
}

/** What somebody who finds a dead letter must know; names as they stand in the message's headers. */
export interface DeathHeaders {
  /** Why it is dead: unreadable, unknown-sale, other-content, unstorable. */
  cause: string
  detail: string
  /** Of the message that brought it. */
  originalMessageId: string
  diedAtMs: number
  saleId?: number
  orderId?: string
  requestId?: string
}

const DEAD_LETTER_DEADLINE_MS = 5_000

/** Puts a message among the dead letters. @throws StoreAway as above: it may be there, and may be put there again. */
export type PublishDeadLetter = (body: Buffer, headers: DeathHeaders) => Promise<void>

export function createPublishDeadLetter(broker: Broker): PublishDeadLetter {
  return (body, headers) => publish(broker, DEAD_LETTERS, body, DEAD_LETTER_DEADLINE_MS, { headers })
}

async function publish(
  broker: Broker,
  publication: string,
  body: Buffer,
  deadlineMs: number,
  options: object,
): Promise<void> {
  const current = broker.current()
  if (!current) throw new StoreAway('rabbitmq', 'not-sent', new Error('not connected'))
  const session = await current.publish(publication, body, { options } as PublicationConfig)
  // By then it has left; its confirm, which waits for the disk, has not come.
  if (publication === RESERVATIONS_MADE) crashPoint('after-publish', 1)

  await new Promise<void>((resolve, reject) => {
    let isReturned = false
    const timer = setTimeout(() => {
      session.abort()
      reject(new StoreAway('rabbitmq', 'unknown', new Error(`no confirm within ${deadlineMs} ms`)))
    }, deadlineMs)
    session.on('return', () => {
      isReturned = true
    })
    session.on('success', () => {
      clearTimeout(timer)
      if (isReturned) reject(new StoreAway('rabbitmq', 'not-sent', new Error('no queue took the message')))
      else resolve()
    })
    session.on('error', (error: Error) => {
      clearTimeout(timer)
      reject(new StoreAway('rabbitmq', 'unknown', error))
    })
  })
}
