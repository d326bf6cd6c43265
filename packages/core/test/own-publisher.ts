import { createLog } from '@blitzbuy/core/log'
import { connectBroker, type Broker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { afterAll, beforeAll } from 'vitest'

import type { OwnStores } from './own-stores.ts'

/**
 * A publisher in a test file's own namespace; what it declared on the broker is gone after the tests.
 *
 * Its field is there from `beforeAll` on. Whatever consumes in that namespace is ended by an `afterAll` that is asked for
 * later, and so runs earlier.
 */
export function useOwnPublisher(stores: OwnStores): { broker: Broker } {
  const own = {} as { broker: Broker }
  beforeAll(async () => {
    const { amqpUrl, namespace } = stores
    const log = createLog({ name: 'test', level: 'fatal' })
    own.broker = connectBroker({ url: amqpUrl, namespace, role: 'publisher', log })
    await own.broker.connected
  }, 30_000)
  afterAll(async () => {
    await (await own.broker.connected).nuke()
    await own.broker.close()
  }, 30_000)
  return own
}
