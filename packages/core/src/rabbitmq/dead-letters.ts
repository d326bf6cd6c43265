import { connect, type ChannelModel, type ConfirmChannel, type GetMessage } from 'amqplib'

import { withDeadline } from '../deadline.ts'
import { StoreAway } from '../errors.ts'
import { RESERVATIONS_MADE, topologyNames } from './topology.ts'

/** A message that can never be worked off, as it lies in its queue. */
export interface DeadLetter {
  /** Its own id: what an operator names it by. */
  letterId: string
  cause: string
  detail: string | undefined
  /** Of the message that brought it. */
  originalMessageId: string | undefined
  diedAtMs: number | undefined
  saleId: number | undefined
  orderId: string | undefined
  requestId: string | undefined
  body: Buffer
}

/** Somebody else has them in hand: what they look at is in no queue meanwhile. */
export class DeadLettersInHand extends Error {
  override readonly name = 'DeadLettersInHand'

  constructor() {
    super('another operator has the dead letters in hand; try again when they are done')
  }
}

/** Hears of a letter before anything is done to it; what it throws leaves the letter where it is. */
export type BeforeAct = (letter: DeadLetter) => Promise<void>

/**
 * The dead letters, for an operator.
 *
 * RabbitMQ has no way to look into a queue. They are taken without being acknowledged and fall back when the channel
 * closes; a quorum queue puts what comes back before everything else, in its old order. So looking loses and
 * reorders nothing, also when the process dies meanwhile.
 *
 * @throws DeadLettersInHand while another process does the same. @throws StoreAway when the broker does not answer.
 */
export interface DeadLetters {
  /** The oldest first. */
  list(limit: number): Promise<DeadLetter[]>
  /** Publishes them to the workers again; an order that is decided stays as it is. @returns those that went. */
  replay(letterIds: ReadonlySet<string> | 'all', before?: BeforeAct): Promise<DeadLetter[]>
  /** Forgets them for good. @returns those that are gone. */
  drop(letterIds: ReadonlySet<string> | 'all', before?: BeforeAct): Promise<DeadLetter[]>
}

const CONNECT_MS = 5_000
/** Of each question to the broker. */
const ANSWER_MS = 10_000
const RESOURCE_LOCKED = 405
const NOT_FOUND = 404

export function createDeadLetters({ url, namespace }: { url: string; namespace: string }): DeadLetters {
  const names = topologyNames(namespace)

  return {
    list: (limit) =>
      inHand(async (channel) => {
        const letters: DeadLetter[] = []
        for await (const message of messagesOf(channel)) {
          letters.push(toLetter(message))
          if (letters.length >= limit) break
        }
        return letters
      }),
    replay: (letterIds, before) => settle(letterIds, before, publishAgain),
    drop: (letterIds, before) => settle(letterIds, before, () => Promise.resolve()),
  }

  async function settle(
    letterIds: ReadonlySet<string> | 'all',
    before: BeforeAct = () => Promise.resolve(),
    act: (channel: ConfirmChannel, letter: DeadLetter) => Promise<void>,
  ): Promise<DeadLetter[]> {
    return inHand(async (channel) => {
      const settled: DeadLetter[] = []
      for await (const message of messagesOf(channel)) {
        const letter = toLetter(message)
        if (letterIds !== 'all' && !letterIds.has(letter.letterId)) continue
        await before(letter)
        await act(channel, letter)
        channel.ack(message)
        settled.push(letter)
        if (letterIds !== 'all' && settled.length === letterIds.size) break
      }
      return settled
    })
  }

  /** What was in the queue at the beginning; a letter that comes back by replay must not be taken again. */
  async function* messagesOf(channel: ConfirmChannel): AsyncGenerator<GetMessage> {
    const { messageCount } = await answer(channel.checkQueue(names.deadLetterQueue))
    for (let taken = 0; taken < messageCount; taken += 1) {
      const message = await answer(channel.get(names.deadLetterQueue))
      if (!message) return
      yield message
    }
  }

  async function publishAgain(channel: ConfirmChannel, letter: DeadLetter): Promise<void> {
    let isReturned = false
    const onReturn = (): void => {
      isReturned = true
    }
    channel.once('return', onReturn)
    const confirmed = new Promise<void>((resolve, reject) => {
      channel.publish(
        names.exchange,
        RESERVATIONS_MADE,
        letter.body,
        {
          persistent: true,
          mandatory: true,
          contentType: 'application/json',
          messageId: letter.originalMessageId ?? letter.letterId,
        },
        (error: unknown) => (error ? reject(error as Error) : resolve()),
      )
    })
    await answer(confirmed)
    channel.off('return', onReturn)
    if (isReturned) throw new StoreAway('rabbitmq', 'not-sent', new Error('no queue took the message'))
  }

  /** On a connection of its own; whatever was taken and not acknowledged falls back when it closes. */
  async function inHand<T>(work: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    const connection = await open()
    try {
      await lock(connection)
      const channel = await answer(connection.createConfirmChannel())
      channel.on('error', () => undefined)
      const result = await work(channel)
      // The broker has seen every acknowledgement before it answers this.
      await answer(channel.close())
      return result
    } catch (error) {
      throw toFault(error)
    } finally {
      await withDeadline(connection.close(), ANSWER_MS, tooLate).catch(() => undefined)
    }
  }

  async function open(): Promise<ChannelModel> {
    try {
      const connection = await connect(url, { timeout: CONNECT_MS })
      connection.on('error', () => undefined)
      return connection
    } catch (error) {
      throw new StoreAway('rabbitmq', 'not-sent', error)
    }
  }

  /** An exclusive queue belongs to one connection and goes with it, however that ends. */
  async function lock(connection: ChannelModel): Promise<void> {
    const channel = await answer(connection.createChannel())
    channel.on('error', () => undefined)
    try {
      await answer(
        channel.assertQueue(`${names.deadLetterQueue}:in-hand`, { exclusive: true, durable: false }),
      )
    } catch (error) {
      throw codeOf(error) === RESOURCE_LOCKED ? new DeadLettersInHand() : error
    }
  }
}

function answer<T>(asked: Promise<T>): Promise<T> {
  return withDeadline(asked, ANSWER_MS, tooLate)
}

function tooLate(): Error {
  return new StoreAway('rabbitmq', 'unknown', new Error(`no answer within ${ANSWER_MS} ms`))
}

function toFault(error: unknown): unknown {
  if (error instanceof StoreAway || error instanceof DeadLettersInHand) return error
  if (codeOf(error) === NOT_FOUND)
    return new StoreAway('rabbitmq', 'not-sent', new Error('there is no queue of dead letters yet'))
  return codeOf(error) === undefined ? error : new StoreAway('rabbitmq', 'unknown', error)
}

/** The reply code with which the broker closed a channel. */
function codeOf(error: unknown): number | undefined {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'number' ? code : undefined
}

function toLetter({ content, properties }: GetMessage): DeadLetter {
  const headers: Record<string, unknown> = properties.headers ?? {}
  const text = (name: string): string | undefined => {
    const value = headers[name]
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const number = (name: string): number | undefined => {
    const value = headers[name]
    return typeof value === 'number' ? value : undefined
  }
  return {
    letterId: String(properties.messageId ?? ''),
    // One that the broker itself has put here, by a limit of deliveries or a policy, brings no headers of ours.
    cause: text('cause') ?? 'dead-lettered-by-broker',
    detail: text('detail'),
    originalMessageId: text('originalMessageId'),
    diedAtMs: number('diedAtMs'),
    saleId: number('saleId'),
    orderId: text('orderId'),
    requestId: text('requestId'),
    body: content,
  }
}
