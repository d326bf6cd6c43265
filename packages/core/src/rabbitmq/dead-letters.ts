import { connect, type ChannelModel, type ConfirmChannel, type ConsumeMessage } from 'amqplib'

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
 * RabbitMQ has no way to look into a queue. They are all taken, without being acknowledged, and put back one by
 * one: a quorum queue serves what came back before everything else, in the order in which it came. So looking loses
 * and reorders nothing; a process that dies meanwhile loses nothing either, but leaves them in any order.
 *
 * @throws DeadLettersInHand while another process does the same. @throws StoreAway when the broker does not answer.
 */
export interface DeadLetters {
  /** How many there are; takes none of them in hand. */
  count(): Promise<number>
  /** The oldest first. */
  list(limit: number): Promise<DeadLetter[]>
  /** Publishes them to the workers again; an order that is decided stays as it is. @returns those that went. */
  replay(letterIds: ReadonlySet<string> | 'all', before?: BeforeAct): Promise<DeadLetter[]>
  /** Forgets them for good. @returns those that are gone. */
  drop(letterIds: ReadonlySet<string> | 'all', before?: BeforeAct): Promise<DeadLetter[]>
}

/** RabbitMQ gathers what a channel says to a quorum queue from 32 words on. */
const PUT_BACK_AT_ONCE = 16
const CONNECT_MS = 5_000
/** Of each question to the broker. */
const ANSWER_MS = 10_000
const RESOURCE_LOCKED = 405
const NOT_FOUND = 404

export function createDeadLetters({ url, namespace }: { url: string; namespace: string }): DeadLetters {
  const names = topologyNames(namespace)

  return {
    async count() {
      const connection = await open()
      try {
        const channel = await answer(connection.createChannel())
        channel.on('error', () => undefined)
        return (await answer(channel.checkQueue(names.deadLetterQueue))).messageCount
      } catch (error) {
        throw toFault(error)
      } finally {
        await withDeadline(connection.close(), ANSWER_MS, tooLate).catch(() => undefined)
      }
    },

    list: (limit) => inHand(async ({ messages }) => messages.slice(0, limit).map(toLetter)),
    replay: (letterIds, before) => settle(letterIds, before, publishAgain),
    drop: (letterIds, before) => settle(letterIds, before, () => Promise.resolve()),
  }

  async function settle(
    letterIds: ReadonlySet<string> | 'all',
    before: BeforeAct = () => Promise.resolve(),
    act: (channel: ConfirmChannel, letter: DeadLetter) => Promise<void>,
  ): Promise<DeadLetter[]> {
    const settled = new Map<string, DeadLetter>()
    await inHand(async ({ channel, messages, acknowledge }) => {
      for (const message of messages) {
        const letter = toLetter(message)
        if (letterIds !== 'all' && !letterIds.has(letter.letterId)) continue
        await before(letter)
        await act(channel, letter)
        await acknowledge(message)
        settled.set(letter.letterId, letter)
      }
    })
    // RabbitMQ forgets what it has gathered of a channel's acknowledgements when the channel closes.
    while (settled.size > 0 && (await acknowledgeAgain(settled)) > 0);
    return [...settled.values()]
  }

  function acknowledgeAgain(settled: ReadonlyMap<string, DeadLetter>): Promise<number> {
    return inHand(async ({ messages, acknowledge }) => {
      const returned = messages.filter((message) => settled.has(toLetter(message).letterId))
      for (const message of returned) await acknowledge(message)
      return returned.length
    })
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

  /** On a connection of its own; whatever is not acknowledged is put back. */
  async function inHand<T>(work: (hand: Hand) => Promise<T>): Promise<T> {
    const connection = await open()
    try {
      await lock(connection)
      const channel = await answer(connection.createConfirmChannel())
      channel.on('error', () => undefined)
      const hand = await takeAll(channel, names.deadLetterQueue)
      try {
        return await work(hand)
      } finally {
        await hand.putBack()
        // The broker has seen everything before it answers this.
        await answer(channel.close())
      }
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

interface Hand {
  channel: ConfirmChannel
  /** The oldest first. What comes back by replay is not among them. */
  messages: readonly ConsumeMessage[]
  acknowledge: (message: ConsumeMessage) => Promise<void>
  putBack: () => Promise<void>
}

/**
 * All of them, however few are asked for: of what has come back before, the rest would else be served before these.
 * And by one consumer: what several have taken, or `get` by `get`, comes back in any order.
 */
async function takeAll(channel: ConfirmChannel, queue: string): Promise<Hand> {
  const { messageCount } = await answer(channel.checkQueue(queue))
  const messages: ConsumeMessage[] = []
  let wake: () => void = () => undefined
  if (messageCount > 0) {
    const { consumerTag } = await answer(
      channel.consume(queue, (message) => {
        // null: the queue was deleted under our hands; then nothing more comes.
        if (message) messages.push(message)
        wake()
      }),
    )
    while (messages.length < messageCount) await answer(new Promise<void>((resolve) => (wake = resolve)))
    // Else it would be handed what it puts back.
    await answer(channel.cancel(consumerTag))
  }
  const held = new Set(messages)

  return {
    channel,
    messages: [...messages],
    async acknowledge(message) {
      held.delete(message)
      channel.ack(message)
      // A moment for the queue, so that the channel gathers none.
      await answer(channel.checkQueue(queue))
    },
    /** Neither in one word nor all at once: RabbitMQ would gather them, and take them back in any order. */
    async putBack() {
      const all = [...held]
      for (let from = 0; from < all.length; from += PUT_BACK_AT_ONCE) {
        const { messageCount: before } = await answer(channel.checkQueue(queue))
        const some = all.slice(from, from + PUT_BACK_AT_ONCE)
        for (const message of some) channel.nack(message, false, true)
        const untilMs = performance.now() + ANSWER_MS
        while ((await answer(channel.checkQueue(queue))).messageCount < before + some.length) {
          if (performance.now() > untilMs) throw tooLate()
        }
      }
    },
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

function toLetter({ content, properties }: ConsumeMessage): DeadLetter {
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
