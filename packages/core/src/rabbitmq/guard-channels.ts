import amqplib from 'amqplib/callback_api'

interface Closable {
  close: (done?: (error: unknown) => void) => unknown
  once(event: 'close', listener: () => void): unknown
}
type ChannelCallback = (error: unknown, channel?: Closable) => void
type CreateChannel = (...args: [ChannelCallback] | [object, ChannelCallback]) => unknown
interface ChannelMaker {
  createChannel: CreateChannel
  createConfirmChannel: CreateChannel
}
type Connect = (
  url: unknown,
  options: unknown,
  done: (error: unknown, connection?: ChannelMaker) => void,
) => void

let isGuarded = false

/**
 * Has amqplib report to its caller that a connection has just closed, as everything else.
 *
 * - It throws when it is asked for a channel then. rascal makes the channels of its pool in an event of the new
 *   connection: the throw would end the process, an api with all its buyers, because a broker was slow to come back.
 * - It never calls back when the connection breaks while a channel is being closed. rascal's last step of connecting
 *   closes a channel: it would wait for ever, and never connect again.
 */
export function guardChannels(): void {
  if (isGuarded) return
  isGuarded = true
  const shared = amqplib as unknown as { connect: Connect }
  const connect = shared.connect
  shared.connect = (url, options, done) =>
    connect(url, options, (error, connection) => done(error, connection && guard(connection)))
}

function guard(connection: ChannelMaker): ChannelMaker {
  for (const method of ['createChannel', 'createConfirmChannel'] as const) {
    const create = connection[method].bind(connection)
    connection[method] = (...args) => {
      const done = args.at(-1) as ChannelCallback
      const guarded: ChannelCallback = (error, channel) => done(error, channel && guardClose(channel))
      try {
        return create(...([...args.slice(0, -1), guarded] as Parameters<CreateChannel>))
      } catch (error) {
        done(error)
        return undefined
      }
    }
  }
  return connection
}

function guardClose(channel: Closable): Closable {
  const close = channel.close.bind(channel)
  channel.close = (done) => {
    let isDone = false
    const finish = (error: unknown): void => {
      if (isDone) return
      isDone = true
      done?.(error)
    }
    // After the broker's word `finish` has run already: what comes first here is the end of the connection.
    channel.once('close', () => finish(new Error('the connection ended before its channel was closed')))
    return close((error) => finish(error ?? null))
  }
  return channel
}
