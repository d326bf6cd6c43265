import type { Redis } from 'ioredis'

/** `saleId:epoch:seq`, whenever units of a sale became free: every instance lowers its sold-out flag. */
export const UNITS_ROSE = 'units-rose'
/** Session ids, separated by commas: every instance forgets its local copies. */
export const SESSION_ENDED = 'session-ended'
/** `version\nsubject\nvalue`, an empty value for a removal: every instance changes its copy of the blacklist. */
export const BLACKLIST_CHANGED = 'blacklist-changed'
/** Order ids, separated by commas, whenever the worker has settled them: who waits for one reads it. */
export const ORDERS_DECIDED = 'orders-decided'

export type ChannelName =
  | typeof UNITS_ROSE
  | typeof SESSION_ENDED
  | typeof BLACKLIST_CHANGED
  | typeof ORDERS_DECIDED

/** Channels carry the namespace of the connection's keys; Redis itself does not prefix them. */
export function channelOf(redis: Redis, name: ChannelName): string {
  return `${redis.options.keyPrefix ?? ''}${name}`
}
