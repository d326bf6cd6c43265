import type { BrokerConfig } from 'rascal'

declare module 'rascal' {
  interface SubscriptionConfig {
    /** How long `cancel()` waits for messages in hand, ms; missing from the types. */
    closeTimeout?: number
  }
}

/** Reservations of one batch, from an api or a relay to the order workers. */
export const RESERVATIONS_MADE = 'reservations.made'
/** What can never become an order, for a person to look at. */
export const DEAD_LETTERS = 'dead-letters'
/** The subscription of the order workers. */
export const PLACE_RESERVATIONS = 'place-reservations'

/** Names on the broker: queues are `consumer:entity:action`, routing keys `producer.entity.event`. */
export function topologyNames(namespace: string) {
  return {
    exchange: `${namespace}.reservations`,
    queue: `${namespace}.order-worker:reservations:place`,
    deadLetterExchange: `${namespace}.dead-letters`,
    deadLetterQueue: `${namespace}.order-worker:reservations:dead`,
  }
}

export interface TopologyOptions {
  url: string
  namespace: string
  role: 'publisher' | 'consumer'
  /** Exchanges and queues are there: a user that may not declare any works with them. */
  isTopologyGiven?: boolean
  /** Most messages a consumer holds unacknowledged. */
  prefetch?: number
  /** Destroys the sockets of these connections. */
  signal?: AbortSignal
}

const RECONNECT = { min: 250, max: 2_000, factor: 2, strategy: 'exponential' } as const
const CLOSE_TIMEOUT_MS = 2_000
/** Without noDelay (missing from the types) every message waits 40 ms for a delayed acknowledgement. */
const SOCKET = { timeout: 5_000, noDelay: true }

/**
 * The whole topology as one value, loaded by every publisher and consumer: whoever comes first declares it.
 */
export function topology(options: TopologyOptions): BrokerConfig {
  const { url, namespace, role, prefetch, signal, isTopologyGiven = false } = options
  const names = topologyNames(namespace)
  const assert = !isTopologyGiven
  const vhost = decodeURIComponent(new URL(url).pathname.slice(1)) || '/'
  const quorum = {
    'x-queue-type': 'quorum',
    // RabbitMQ 4 defaults to 20 and counts crashes of the worker: healthy orders would be dead-lettered.
    'x-delivery-limit': 1_000_000,
  }

  return {
    // rascal takes a connection's `retry` from here alone; beside the URL it is dropped, and a worker would come
    // back up to a minute after its broker.
    defaults: { vhosts: { connection: { retry: RECONNECT } } } as BrokerConfig['defaults'] & object,
    vhosts: {
      [vhost]: {
        connection: {
          url,
          options: { heartbeat: 5, connection_timeout: 5_000 },
          socketOptions: { ...SOCKET, signal } as typeof SOCKET,
        },
        // One confirm is outstanding per channel: this many batches can be on their way at once.
        publicationChannelPools: { confirmPool: { min: 1, max: 32, autostart: role === 'publisher' } },
        exchanges: {
          [names.exchange]: { assert, type: 'topic', options: { durable: true } },
          [names.deadLetterExchange]: { assert, type: 'topic', options: { durable: true } },
        },
        queues: {
          [names.queue]: {
            assert,
            options: {
              durable: true,
              arguments: {
                ...quorum,
                'x-dead-letter-exchange': names.deadLetterExchange,
                'x-dead-letter-routing-key': RESERVATIONS_MADE,
              },
            },
          },
          [names.deadLetterQueue]: { assert, options: { durable: true, arguments: quorum } },
        },
        bindings: isTopologyGiven
          ? {}
          : {
              placing: { source: names.exchange, destination: names.queue, bindingKey: RESERVATIONS_MADE },
              dead: { source: names.deadLetterExchange, destination: names.deadLetterQueue, bindingKey: '#' },
            },
        publications: {
          [RESERVATIONS_MADE]: {
            exchange: names.exchange,
            routingKey: RESERVATIONS_MADE,
            confirm: true,
            options: { persistent: true, mandatory: true, contentType: 'application/json' },
          },
          [DEAD_LETTERS]: {
            exchange: names.deadLetterExchange,
            routingKey: RESERVATIONS_MADE,
            confirm: true,
            options: { persistent: true, mandatory: true, contentType: 'application/json' },
          },
        },
        ...(role === 'consumer' && {
          subscriptions: {
            [PLACE_RESERVATIONS]: {
              queue: names.queue,
              // The body is parsed and judged by our own schema; rascal would reject it in its own way.
              contentType: 'application/octet-stream',
              prefetch: prefetch ?? 64,
              retry: RECONNECT,
              // A handler that waits for MySQL must not hold up the end of the process.
              closeTimeout: CLOSE_TIMEOUT_MS,
              // The default counter is a stub; redeliveries are no reason to give up here, see x-delivery-limit.
              redeliveries: { counter: 'none', limit: Number.MAX_SAFE_INTEGER },
            },
          },
        }),
      },
    },
    redeliveries: { counters: { none: { type: 'stub' } } },
  }
}
