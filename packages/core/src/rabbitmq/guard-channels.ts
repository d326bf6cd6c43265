import amqplib from 'amqplib/callback_api'

type ChannelCallback = (error: unknown, channel?: unknown) => void
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
 * Has amqplib report to its caller that a connection has just closed, as everything else, instead of throwing.
 *
 * rascal makes the channels of its pool in an event of the new connection. When that one breaks in the very same
 * moment, the throw would end the process: an api with all its buyers, because a broker was slow to come back.
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
      try {
        return create(...args)
      } catch (error) {
        done(error)
        return undefined
      }
    }
  }
  return connection
}
