import { connect, type Channel, type ChannelModel } from 'amqplib'

import { topology, topologyNames } from './topology.ts'

export interface ExaminedQueue {
  queue: string
  isThere: boolean
  readyCount: number
  consumerCount: number
  /** How its arguments differ from ours, in the broker's words. */
  difference: string | undefined
}

const CONNECT_MS = 5_000
const PRECONDITION_FAILED = 406
const NOT_FOUND = 404

/**
 * Both queues: how many messages, how many workers, and whether they were declared as we declare them.
 *
 * A queue cannot be asked for its arguments; declaring it again is refused, in words, when one differs. One that is not
 * there is not made.
 */
export async function examineQueues(
  url: string,
  namespace: string,
): Promise<{ place: ExaminedQueue; dead: ExaminedQueue }> {
  const connection = await connect(url, { timeout: CONNECT_MS })
  connection.on('error', () => undefined)
  try {
    const { queue, deadLetterQueue } = topologyNames(namespace)
    const vhosts = Object.values(topology({ url, namespace, role: 'publisher' }).vhosts ?? {})
    const queues = (vhosts[0]?.queues ?? {}) as Record<string, { options?: { arguments?: object } }>
    const examineOne = (name: string) =>
      examineQueue(connection, name, queues[name]?.options?.arguments ?? {})
    return { place: await examineOne(queue), dead: await examineOne(deadLetterQueue) }
  } finally {
    await connection.close().catch(() => undefined)
  }
}

async function examineQueue(connection: ChannelModel, queue: string, args: object): Promise<ExaminedQueue> {
  const seen = await ask(connection, (channel) => channel.checkQueue(queue))
  if (seen.refusal) return { queue, isThere: false, readyCount: 0, consumerCount: 0, difference: undefined }
  const declared = await ask(connection, (channel) =>
    channel.assertQueue(queue, { durable: true, arguments: args }),
  )
  return {
    queue,
    isThere: true,
    readyCount: seen.messageCount,
    consumerCount: seen.consumerCount,
    difference: declared.refusal,
  }
}

interface Answer {
  messageCount: number
  consumerCount: number
  refusal?: string
}

/** Each question has a channel of its own: a refusal closes it. */
async function ask(
  connection: ChannelModel,
  question: (channel: Channel) => Promise<Answer>,
): Promise<Answer> {
  const channel = await connection.createChannel()
  channel.on('error', () => undefined)
  try {
    const answer = await question(channel)
    await channel.close()
    return answer
  } catch (error) {
    const { code, message } = error as { code?: number; message: string }
    if (code !== NOT_FOUND && code !== PRECONDITION_FAILED) throw error
    // RabbitMQ's own sentence, without the frame around it.
    const refusal = /(?:PRECONDITION_FAILED|NOT_FOUND) - (.*?)"?$/.exec(message)?.[1] ?? message
    return { messageCount: 0, consumerCount: 0, refusal }
  }
}
