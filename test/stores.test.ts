import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'

import { identify } from '../scripts/process-identity.mjs'
import { startStores } from '../scripts/stores/start-stores.ts'
import type { Stores } from '../scripts/stores/store.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'

/** Redis alone is started here, the quickest of the three; one piece of code runs them all. */
describe('a store started here', () => {
  let folder: TemporaryFolder
  let stores: Stores
  const connections: Redis[] = []

  beforeAll(async () => {
    folder = await makeTemporaryFolder()
    stores = await start()
  })
  afterEach(() => {
    for (const connection of connections.splice(0)) connection.disconnect()
  })
  afterAll(() => folder.remove())

  const start = () =>
    startStores({
      folder: folder.path,
      given: { MYSQL_URL: inject('mysqlUrl'), AMQP_URL: inject('amqpUrl') },
    })
  const connect = () => {
    const redis = new Redis(stores.redisUrl, { retryStrategy: () => null })
    redis.on('error', () => {})
    connections.push(redis)
    return redis
  }

  it('comes back on the same address with the same data after a kill -9', async () => {
    await connect().set('kept', 'yes')
    const { pid } = stores.redis

    await stores.redis.kill('SIGKILL')
    expect(stores.redis.isAlive()).toBe(false)
    await stores.redis.start()

    expect(stores.redis.pid).not.toBe(pid)
    expect(await connect().get('kept')).toBe('yes')
  })

  it('stands still after a SIGSTOP and goes on after a SIGCONT', async () => {
    const redis = connect()
    await redis.ping()

    await stores.redis.kill('SIGSTOP')
    let answered = false
    const answer = redis.ping().then(() => (answered = true))
    // Another store answers in the meantime: there was time enough.
    const other = new Redis(inject('redisUrl'))
    connections.push(other)
    await other.ping()
    expect(answered).toBe(false)

    await stores.redis.kill('SIGCONT')
    await answer
  })

  it('is taken over by the next start in its folder', async () => {
    const { pid } = stores.redis

    const again = await start()

    expect(again.redis.pid).toBe(pid)
    expect(again.redisUrl).toBe(stores.redisUrl)
  })

  it('is gone after a stop, and one given by its URL is left alone', async () => {
    const pid = stores.redis.pid as number

    await stores.stop()

    expect(identify(pid)).toBeUndefined()
    expect(stores.mysqlUrl).toBe(inject('mysqlUrl'))
    await expect(stores.mysql.kill('SIGKILL')).rejects.toThrow('given by its URL')
  })
})
