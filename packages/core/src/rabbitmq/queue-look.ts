import { connect, type ChannelModel } from 'amqplib'

import { withDeadline } from '../deadline.ts'
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

/**
 * Each look is a connection of its own: a queue that is missing closes its channel, and nobody else's may go with it.
 *
 * @param of which queue: the one of reservations, or that of the dead letters.
 */
export function createLookAtQueue(
  { url, namespace }: { url: string; namespace: string },
  of: 'queue' | 'deadLetterQueue' = 'queue',
): LookAtQueue {
  const queue = topologyNames(namespace)[of]

  return async () => {
    // Not rascal's: every connection of its own stays with the signal that could have given it up, for ever.
    const connecting = connect(url, { timeout: LOOK_MS, noDelay: true })
    const closing = (): void =>
      void connecting.then((connection) => connection.close()).catch(() => undefined)
    try {
      return await withDeadline(look(connecting, queue), LOOK_MS, tooLate)
    } catch {
      return undefined
    } finally {
      closing()
    }
  }
}

async function look(connecting: Promise<ChannelModel>, queue: string): Promise<QueueLook> {
  const connection = await connecting
  connection.on('error', () => undefined)
  const channel = await connection.createChannel()
  // It is an event too, and one that nobody hears ends the process.
  channel.on('error', () => undefined)
  const { messageCount, consumerCount } = await channel.checkQueue(queue)
  return { readyCount: messageCount, consumerCount }
}

function tooLate(): Error {
  return new Error(`the queue was not seen within ${LOOK_MS} ms`)
}
