import type { Redis } from 'ioredis'

import { channelOf, type ChannelName } from './channels.ts'

export type Listeners = Record<ChannelName, (message: string) => void> & {
  /** At the first subscription and after every reconnect: what was said before was not heard. */
  onSubscribed: () => void
}

/** Listens to the channels of the namespace that `redis` uses. */
export function listen(subscriber: Redis, redis: Redis, listeners: Listeners): void {
  const { onSubscribed, ...byName } = listeners
  const handlers = new Map(
    Object.entries(byName).map(([name, handler]) => [channelOf(redis, name as ChannelName), handler]),
  )
  subscriber.on('message', (channel: string, message: string) => handlers.get(channel)?.(message))
  // ioredis subscribes again by itself after a reconnect, but does not say when; SUBSCRIBE twice does no harm.
  subscriber.on('ready', () => {
    subscriber.subscribe(...handlers.keys()).then(onSubscribed, () => undefined)
  })
}
