import { setMaxListeners } from 'node:events'

import rascal, { type BrokerAsPromised } from 'rascal'
import type { Logger } from 'pino'

import { withDeadline } from '../deadline.ts'
import { guardChannels } from './guard-channels.ts'
import { topology, type TopologyOptions } from './topology.ts'

export interface Broker {
  /** The broker while it is connected, else undefined. */
  current(): BrokerAsPromised | undefined
  /** Whether it takes no messages for now: it is short of memory or disk. */
  isBlocked(): boolean
  /** Resolves at the first connection. */
  connected: Promise<BrokerAsPromised>
  /**
   * Declares the topology once more, over a connection of its own: a queue that was deleted is there again. rascal does
   * that only when it connects, and a deleted queue breaks no connection.
   */
  declareAgain(): Promise<void>
  close(): Promise<void>
}

const RETRY_MIN_MS = 250
const RETRY_MAX_MS = 2_000
const CLOSE_MS = 3_000
const DECLARE_MS = 10_000

/**
 * Connects in the background for as long as it takes: a process starts, and says that it is not ready, while the
 * broker is away. Once connected, rascal reconnects by itself.
 */
export function connectBroker(options: TopologyOptions & { log: Logger }): Broker {
  const { log } = options
  guardChannels()
  let broker: BrokerAsPromised | undefined
  let isUp = false
  let isBlocked = false
  let closing = false
  let timer: NodeJS.Timeout | undefined
  let resolveConnected: (broker: BrokerAsPromised) => void = () => undefined
  const connected = new Promise<BrokerAsPromised>((resolve) => {
    resolveConnected = resolve
  })

  let attempts = 0
  async function connect(): Promise<void> {
    const giveUp = new AbortController()
    // rascal hands it to every connection that it ever makes: one listener each, and a reconnect is no leak.
    setMaxListeners(0, giveUp.signal)
    try {
      const config = topology({ ...options, signal: giveUp.signal })
      const created = await rascal.BrokerAsPromised.create(rascal.withDefaultConfig(config))
      if (closing) return await shutDown(created)
      broker = created
      isUp = true
      created.on('error', (error: Error) => {
        isUp = false
        log.warn({ err: error }, 'broker connection lost')
      })
      created.on('disconnect', () => {
        isUp = false
      })
      created.on('blocked', (reason: unknown) => {
        isBlocked = true
        log.warn({ reason: String(reason) }, 'the broker takes no messages')
      })
      created.on('unblocked', () => {
        isBlocked = false
        log.info('the broker takes messages again')
      })
      created.on('vhost_initialised', () => {
        isUp = true
        isBlocked = false
        log.info('broker connected again')
      })
      resolveConnected(created)
    } catch (error) {
      // Of a connection whose declarations were refused rascal keeps nothing: without this each try leaves one open.
      giveUp.abort()
      await halfMade(error)
        ?.shutdown()
        .catch(() => undefined)
      if (closing) return
      log[attempts === 0 ? 'warn' : 'debug']({ err: error }, 'broker is away; trying again')
      attempts += 1
      timer = setTimeout(() => void connect(), Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** attempts))
    }
  }
  const connecting = connect()

  return {
    connected,
    current: () => (isUp ? broker : undefined),
    async declareAgain() {
      const config = topology({ ...options, role: 'publisher' })
      const declaring = rascal.BrokerAsPromised.create(rascal.withDefaultConfig(config))
      declaring.then(shutDown).catch(() => undefined)
      await withDeadline(declaring, DECLARE_MS, () => new Error('the topology was not declared in time'))
    },
    isBlocked: () => isBlocked,
    async close() {
      closing = true
      clearTimeout(timer)
      await withDeadline(connecting, CLOSE_MS, () => new Error('still connecting')).catch(() => undefined)
      if (broker) await shutDown(broker)
    },
  }

  /** rascal waits for channels of a dead connection; a process that ends must not. */
  async function shutDown(which: BrokerAsPromised): Promise<void> {
    await withDeadline(which.shutdown(), CLOSE_MS, () => new Error('broker did not shut down in time')).catch(
      (error: unknown) => log.warn({ err: error }, 'broker closed hard'),
    )
  }
}

/** What rascal has made of a broker that failed; it keeps a timer until it is shut down. */
function halfMade(error: unknown): BrokerAsPromised | undefined {
  const { broker } = (error ?? {}) as { broker?: symbol }
  return typeof broker === 'symbol'
    ? (error as unknown as Record<symbol, BrokerAsPromised>)[broker]
    : undefined
}
