import { crashPoint } from '../crash-point.ts'
import { StoreAway } from '../errors.ts'
import type { Broker } from './connect-broker.ts'
import { RESERVATIONS_MADE } from './topology.ts'

/**
 * Publishes one message and waits until the broker has it on disk.
 *
 * A return (no queue took it) comes before the confirm of the same message, and is no hand-off.
 *
 * @throws StoreAway `not-sent` when there is no connection or no queue; `unknown` when no confirm came in time:
 *   the message may still be delivered.
 */
export type PublishReservations = (body: Buffer, deadlineMs: number) => Promise<void>

export function createPublishReservations(broker: Broker): PublishReservations {
  return async (body, deadlineMs) => {
    const current = broker.current()
    if (!current) throw new StoreAway('rabbitmq', 'not-sent', new Error('not connected'))
    const session = await current.publish(RESERVATIONS_MADE, body)
    // By then it has left; its confirm, which waits for the disk, has not come.
    crashPoint('after-publish', 1)

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
}
