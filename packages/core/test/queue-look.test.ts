import { connect, type Channel, type ChannelModel } from 'amqplib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { createLookAtQueue } from '../src/rabbitmq/queue-look.ts'
import { topologyNames } from '../src/rabbitmq/topology.ts'
import { useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
let connection: ChannelModel
let channel: Channel
let queue: string

beforeAll(async () => {
  ;({ queue } = topologyNames(stores.namespace))
  connection = await connect(stores.amqpUrl)
  channel = await connection.createChannel()
  await channel.assertQueue(queue)
})
afterAll(async () => {
  await channel.deleteQueue(queue)
  await connection.close()
})

describe('a look at a queue', () => {
  const openSockets = (): number =>
    process.getActiveResourcesInfo().filter((resource) => resource === 'TCPSocketWrap').length

  it('tells how many messages are ready and how many workers wait for them', async () => {
    const look = createLookAtQueue({ url: stores.amqpUrl, namespace: stores.namespace })
    channel.sendToQueue(queue, Buffer.from('one'))
    await expect.poll(look).toEqual({ readyCount: 1, consumerCount: 0 })
    await channel.consume(queue, (message) => message && channel.ack(message))
    await expect.poll(look).toEqual({ readyCount: 0, consumerCount: 1 })
  })

  it('sees nothing where there is no queue and where there is no broker', async () => {
    const { amqpUrl: url, namespace } = stores
    expect(await createLookAtQueue({ url, namespace: `${namespace}x` })()).toBeUndefined()
    // Nobody listens at the port of tcpmux.
    expect(await createLookAtQueue({ url: 'amqp://127.0.0.1:1', namespace })()).toBeUndefined()
  })

  it('leaves no connection and no warning behind, however often it is taken', async () => {
    const warnings: Error[] = []
    const note = (warning: Error): void => void warnings.push(warning)
    process.on('warning', note)
    const before = openSockets()
    const look = createLookAtQueue({ url: stores.amqpUrl, namespace: stores.namespace })
    const missing = createLookAtQueue({ url: stores.amqpUrl, namespace: `${stores.namespace}x` })
    for (let taken = 0; taken < 12; taken += 1) {
      expect(await look()).toBeDefined()
      expect(await missing()).toBeUndefined()
    }
    await expect.poll(openSockets).toBeLessThanOrEqual(before)
    process.off('warning', note)
    expect(warnings).toEqual([])
  })
})
