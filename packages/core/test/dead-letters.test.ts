import { createDeadLetters, DeadLettersInHand } from '@blitzbuy/core/rabbitmq/dead-letters'
import { createPublishDeadLetter } from '@blitzbuy/core/rabbitmq/publish'
import { createLookAtQueue } from '@blitzbuy/core/rabbitmq/queue-look'
import { describe, expect, it } from 'vitest'

import { useOwnPublisher } from './own-publisher.ts'
import { useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
const publisher = useOwnPublisher(stores)

const letters = () => createDeadLetters({ url: stores.amqpUrl, namespace: stores.namespace })
const bodies = async (limit = 1_000) => (await letters().list(limit)).map(({ body }) => String(body))

async function publishSome(count: number, prefix: string): Promise<string[]> {
  const publish = createPublishDeadLetter(publisher.broker)
  const made = Array.from({ length: count }, (_, at) => `${prefix}${at}`)
  for (const body of made)
    await publish(Buffer.from(body), {
      cause: 'unreadable',
      detail: 'a test',
      originalMessageId: `m-${body}`,
      diedAtMs: 1_700_000_000_000,
    })
  return made
}

describe('dead letters', () => {
  it('are looked at without losing or reordering one, whole or in part, also when an act fails half-way', async () => {
    const all = await publishSome(40, 'a')
    expect(await bodies()).toEqual(all)
    expect(await bodies(7)).toEqual(all.slice(0, 7))
    expect(await bodies()).toEqual(all)

    let heard = 0
    const failing = letters().drop('all', async () => {
      heard += 1
      if (heard === 5) throw new Error('the audit log is away')
    })
    await expect(failing).rejects.toThrow('the audit log is away')

    // Four were audited and are gone; the rest is as it was.
    const more = await publishSome(3, 'b')
    expect(await bodies()).toEqual([...all.slice(4), ...more])
    expect(await letters().drop('all')).toHaveLength(39)
    expect(await bodies()).toEqual([])
  })

  it('are dropped by name, and only those', async () => {
    const all = await publishSome(5, 'c')
    const [, second, , fourth] = await letters().list(10)
    const dropped = await letters().drop(new Set([second?.letterId ?? '', fourth?.letterId ?? '', 'nobody']))
    expect(dropped.map(({ body }) => String(body))).toEqual(['c1', 'c3'])
    expect(await bodies()).toEqual([all[0], all[2], all[4]])
    await letters().drop('all')
  })

  it('go back to the workers by replay, each once, with the id of the message that brought them', async () => {
    await publishSome(3, 'd')
    const replayed = await letters().replay('all')
    expect(replayed.map(({ originalMessageId }) => originalMessageId)).toEqual(['m-d0', 'm-d1', 'm-d2'])
    const look = createLookAtQueue({ url: stores.amqpUrl, namespace: stores.namespace })
    await expect.poll(async () => (await look())?.readyCount).toBe(3)
    expect(await bodies()).toEqual([])
  })

  it('are in one operator’s hand at a time', async () => {
    await publishSome(1, 'e')
    let letGo: () => void = () => undefined
    let began: () => void = () => undefined
    const hasBegun = new Promise<void>((resolve) => (began = resolve))
    const dropping = letters().drop('all', () => {
      began()
      return new Promise((resolve) => (letGo = resolve))
    })
    await hasBegun
    await expect(letters().list(10)).rejects.toThrow(DeadLettersInHand)
    letGo()
    expect(await dropping).toHaveLength(1)
    expect(await bodies()).toEqual([])
  })

  it('of a system that never ran are none of a person’s business: it is said that there is no queue', async () => {
    const nowhere = createDeadLetters({ url: stores.amqpUrl, namespace: `${stores.namespace}x` })
    await expect(nowhere.list(10)).rejects.toMatchObject({
      store: 'rabbitmq',
      cause: { message: 'there is no queue of dead letters yet' },
    })
  })
})
