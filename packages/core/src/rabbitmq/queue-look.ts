import { withDeadline } from '../deadline.ts'
import type { Broker } from './connect-broker.ts'
import { topologyNames } from './topology.ts'

/** What a passive declare tells; messages that a worker has in hand are not counted. */
export interface QueueLook {
  readyCount: number
  consumerCount: number
}

/**
 * Looks at a queue without touching it.
 *
 * @returns undefined when the broker does not answer, or has no such queue.
 */
export type LookAtQueue = () => Promise<QueueLook | undefined>

const LOOK_MS = 2_000

/** Whether everything that was published before now has been taken by a worker. */
export function isTaken(look: QueueLook | undefined): boolean {
  return look !== undefined && look.readyCount === 0 && look.consumerCount > 0
}

/** @param of which queue: the one of reservations, or that of the dead letters. */
export function createLookAtQueue(
  broker: Broker,
  { url, namespace }: { url: string; namespace: string },
  of: 'queue' | 'deadLetterQueue' = 'queue',
): LookAtQueue {
  const queue = topologyNames(namespace)[of]
  const vhost = decodeURIComponent(new URL(url).pathname.slice(1)) || '/'

  return async () => {
    const current = broker.current()
    if (!current) return undefined
    const connection = (await withDeadline(current.connect(vhost), LOOK_MS, tooLate).catch(
      () => undefined,
    )) as AmqpConnection | undefined
    if (!connection) return undefined
    // A queue that is missing closes the channel, and says so as an event too.
    connection.on('error', () => undefined)
    const looking = new Promise<QueueLook>((resolve, reject) => {
      connection.createChannel((error, channel) => {
        if (error) return reject(error)
        channel.on('error', reject)
        channel.checkQueue(queue, (missing, seen) =>
          missing
            ? reject(missing)
            : resolve({ readyCount: seen.messageCount, consumerCount: seen.consumerCount }),
        )
      })
    })
    try {
      return await withDeadline(looking, LOOK_MS, tooLate)
    } catch {
      return undefined
    } finally {
      connection.close(() => undefined)
    }
  }
}

/** What rascal hands out is amqplib's connection, which its types do not say. */
interface AmqpConnection {
  on(event: 'error', listener: () => void): void
  createChannel(done: (error: Error | null, channel: AmqpChannel) => void): void
  close(done: () => void): void
}

interface AmqpChannel {
  on(event: 'error', listener: (error: Error) => void): void
  checkQueue(
    queue: string,
    done: (error: Error | null, seen: { messageCount: number; consumerCount: number }) => void,
  ): void
}

function tooLate(): Error {
  return new Error(`the queue was not seen within ${LOOK_MS} ms`)
}
