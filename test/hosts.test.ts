import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'

import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { createSales } from '@blitzbuy/core/sale/sales'
import { connect as connectAmqp, type Channel } from 'amqplib'
import { Redis } from 'ioredis'
import { createConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { addSale, unitsLeft, type OwnStores } from '../packages/core/test/own-stores.ts'
import { run, runOrFail } from '../scripts/run.mjs'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { audit, isAtRest } from './audit.ts'
import { buyOnce, countAnswers, makeCrowd, startRush, type Buyer } from './crowd.ts'
import { makeOwnAuthority, type OwnAuthority } from './own-certificates.ts'
import { canMakeHosts, makeNetwork, makeStoresOn, STORE_PORTS, type OwnNetwork } from './own-hosts.ts'
import { usePm2 } from './own-pm2.ts'
import { answers, NEVER_SHED } from './running-blitzbuy.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const ORIGIN = 'https://shop.test'
const QUOTA = 2_000

/*
 * Three hosts, as docs/operations.md sets them up: make-settings once, the stores with TLS and a user for each role,
 * then PM2 with one line on each of the others.
 */
describe.skipIf(!canMakeHosts)('an api host, a worker host and a store host (needs root)', () => {
  let network: OwnNetwork<'api' | 'worker' | 'stores'>
  let folder: TemporaryFolder
  let authority: OwnAuthority
  let stopStores: (() => Promise<void>) | undefined
  let stores: OwnStores
  let apiOrigin: string
  let saleId: number
  let buyers: Buyer[]
  const at = (name: string) => join(folder.path, name)
  const on = (name: 'api' | 'worker', command: string[]) => network.hosts[name].inHost(command)
  const apiHost = usePm2((command) => on('api', command))
  const workerHost = usePm2((command) => on('worker', command))
  const settingsOf = (role: string) =>
    parseEnv(readFileSync(at(`settings/${role}.env`), 'utf8')) as Record<string, string>

  beforeAll(async () => {
    folder = await makeTemporaryFolder()
    network = await makeNetwork(['api', 'worker', 'stores'])
    authority = await makeOwnAuthority(folder.path)
    const certificate = await authority.issue('stores', 'DNS:stores.test')
    await runOrFail(process.execPath, [
      join(root, 'docker/make-settings.mjs'),
      '--folder',
      at('settings'),
      '--origin',
      ORIGIN,
      '--tls',
      ...(['mysql', 'redis', 'rabbitmq'] as const).flatMap((name) => [
        `--${name}`,
        `stores.test:${STORE_PORTS[name]}`,
      ]),
    ])
    const ownStores = makeStoresOn(network.hosts.stores, {
      folder: at('stores'),
      settings: at('settings'),
      authority: authority.file,
      certificate,
    })
    stopStores = () => ownStores.stop()
    await ownStores.start()
    await migrate('migrate')
    stores = connectAsOperator()
    apiOrigin = `http://${network.hosts.api.address}:3000`
    await startRoles()
    saleId = await addSale(stores, { quota: QUOTA })
    const { SESSION_SECRETS = '', PURCHASE_TOKEN_SECRETS = '' } = settingsOf('api')
    const secrets = { SESSION_SECRETS, PURCHASE_TOKEN_SECRETS }
    buyers = await makeCrowd(stores, { saleId, count: QUOTA - 10, secrets, publicOrigin: ORIGIN })
  }, 240_000)
  afterAll(async () => {
    stores?.redis.disconnect()
    await stores?.mysql.close()
    // Each whatever became of the one before: nothing may be left on the machine.
    const ends = [
      apiHost.end,
      workerHost.end,
      () => stopStores?.(),
      () => network?.remove(),
      () => folder?.remove(),
    ]
    const failed: unknown[] = []
    for (const end of ends) await end()?.catch((error: unknown) => failed.push(error))
    expect(failed).toEqual([])
  }, 90_000)

  /** With the rights of one role, on the api host. */
  function migrate(role: string) {
    const script = join(root, 'packages/core/dist/mysql/run-migrations.js')
    const [command = '', ...args] = on('api', [process.execPath, script])
    const env = { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: authority.file, ...settingsOf(role) }
    return runOrFail(command, args, { env })
  }

  /** What `blitz doctor` finds on the api host. */
  async function doctor(): Promise<unknown[]> {
    const blitz = ['--import', 'tsx', '--conditions=blitzbuy-source', 'scripts/blitz/main.ts']
    const [command = '', ...args] = on('api', [process.execPath, ...blitz, 'doctor', '--json'])
    const env = { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: authority.file, ...settingsOf('operator') }
    // Its exit status speaks of this machine too.
    const { output } = await run(command, args, { cwd: root, env })
    const lines = output.split('\n').filter((line) => line.startsWith('{'))
    return lines.map((line) => JSON.parse(line) as unknown)
  }

  /** One try on a channel of a role: RabbitMQ closes it when it refuses. */
  async function onChannelOf(role: string, attempt: (channel: Channel) => Promise<unknown>): Promise<void> {
    const { AMQP_URL = '' } = settingsOf(role)
    const url = AMQP_URL.replace('stores.test', network.hosts.stores.address)
    const connection = await connectAmqp(url, {
      ca: [authority.text],
      servername: 'stores.test',
    })
    try {
      const channel = await connection.createChannel()
      channel.on('error', () => undefined)
      await attempt(channel)
    } finally {
      await connection.close()
    }
  }

  /** The tests' own look into the stores, with the rights of a role and over TLS like everybody's. */
  function storesAs(role: string) {
    const { MYSQL_URL = '', REDIS_URL = '', NAMESPACE = '' } = settingsOf(role)
    // These hosts have names only among themselves.
    const here = (url: string) => new URL(url.replace('stores.test', network.hosts.stores.address))
    const mysqlUrl = here(MYSQL_URL)
    mysqlUrl.search = ''
    const plainMysqlUrl = mysqlUrl.href
    mysqlUrl.searchParams.set('ssl', JSON.stringify({ ca: authority.text }))
    const redis = new Redis(here(REDIS_URL).href, {
      keyPrefix: `${NAMESPACE}:`,
      tls: { ca: authority.text, servername: 'stores.test' },
    })
    redis.on('error', () => undefined)
    return { namespace: NAMESPACE, mysqlUrl: mysqlUrl.href, plainMysqlUrl, redisUrl: REDIS_URL, redis }
  }

  function connectAsOperator(): OwnStores {
    const { namespace, mysqlUrl, redisUrl, redis } = storesAs('operator')
    const mysql = connectMysql(mysqlUrl)
    return { mysqlUrl, redisUrl, amqpUrl: '', namespace, mysql, redis, sales: createSales(mysql) }
  }

  async function startRoles(): Promise<void> {
    const shell = { NODE_EXTRA_CA_CERTS: authority.file, API_INSTANCES: '1' }
    const here = { HEALTH_HOST: '0.0.0.0', LOG_LEVEL: 'info' }
    workerHost.writeSettings({ ...settingsOf('order-worker'), ...here })
    await workerHost.startRole('order-worker', shell)
    workerHost.writeSettings({ ...settingsOf('stock-warmer'), ...here })
    await workerHost.startRole('stock-warmer', shell)
    apiHost.writeSettings({
      ...settingsOf('api'),
      ...here,
      HOST: '0.0.0.0',
      PORT: '3000',
      TRUSTED_PROXIES: network.address,
      ...NEVER_SHED,
    })
    await apiHost.startRole('api', shell)
    for (const url of [readyUrl('api', 3100), readyUrl('worker', 3200), readyUrl('worker', 3300)])
      await answers(url)
  }

  function readyUrl(name: 'api' | 'worker', port: number): string {
    return `http://${network.hosts[name].address}:${port}/readyz`
  }
  const statusOf = async (url: string) =>
    (await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined))?.status
  const rushOf = (some: Buyer[]) => startRush(some, 4, (buyer) => buyOnce(buyer, apiOrigin, saleId))

  async function expectAtRestAndRight(): Promise<void> {
    await expect.poll(() => isAtRest(stores, saleId), { timeout: 60_000, interval: 200 }).toBe(true)
    await expect.poll(() => audit(stores, saleId), { timeout: 30_000, interval: 500 }).toEqual([])
  }

  it('sell together, over TLS and with a user for each role', async () => {
    await expect.poll(() => unitsLeft(stores, saleId), { timeout: 30_000 }).toBe(QUOTA)
    const rush = rushOf(buyers)
    await expect.poll(rush.made, { timeout: 30_000 }).toBeGreaterThan(100)
    const attempts = await rush.end()

    expect(countAnswers(attempts)).toEqual({ '202': attempts.length })
    buyers = buyers.slice(attempts.length)
    await expectAtRestAndRight()
    expect(await unitsLeft(stores, saleId)).toBe(QUOTA - attempts.length)
  })

  it('go on selling while the worker host has no link, and place every order once it has', async () => {
    await network.hosts.worker.link('down')
    const rush = rushOf(buyers)
    await expect.poll(rush.made, { timeout: 60_000 }).toBeGreaterThan(60)
    const attempts = await rush.end()
    expect(countAnswers(attempts)).toEqual({ '202': attempts.length })
    expect(await isAtRest(stores, saleId)).toBe(false)

    await network.hosts.worker.link('up')
    buyers = buyers.slice(attempts.length)
    await expectAtRestAndRight()
  }, 180_000)

  it('refuse on the one host that cannot reach the stores, and sell again when it can', async () => {
    await network.hosts.api.blackhole('add', network.hosts.stores.address)
    await expect.poll(() => statusOf(readyUrl('api', 3100)), { timeout: 30_000 }).toBe(503)
    await answers(readyUrl('worker', 3200))
    const [cutOff] = buyers as [Buyer]
    // An answer that hangs would be none: see buyOnce.
    expect((await buyOnce(cutOff, apiOrigin, saleId)).status).toBe(503)

    await network.hosts.api.blackhole('del', network.hosts.stores.address)
    await answers(readyUrl('api', 3100))
    await expect
      .poll(async () => (await buyOnce(cutOff, apiOrigin, saleId, { isRetry: true })).status, {
        timeout: 30_000,
      })
      .toBeOneOf([200, 202])
    buyers = buyers.slice(1)
    await expectAtRestAndRight()
  }, 120_000)

  it('have users who can do what their role does, and nothing else', async () => {
    const api = storesAs('api')
    const mysql = await createConnection(api.mysqlUrl)
    for (const forbidden of [
      'DELETE FROM orders',
      'DROP TABLE orders',
      'ALTER TABLE sales ADD x INT',
      'SELECT * FROM mysql.user',
    ]) {
      await expect(mysql.query(forbidden), forbidden).rejects.toMatchObject({
        code: expect.stringMatching(/ACCESS_?DENIED/),
      })
    }
    await mysql.end()
    await expect(createConnection(api.plainMysqlUrl), 'without TLS').rejects.toThrow()
    api.redis.disconnect()

    const { redis } = storesAs('order-worker')
    for (const forbidden of [
      ['FLUSHALL'],
      ['KEYS', '*'],
      ['CONFIG', 'GET', '*'],
      ['GET', 'blitzbuy:session:x'],
      ['SET', 'other:key', '1'],
    ]) {
      const [command = '', ...args] = forbidden
      await expect(redis.call(command, ...args), forbidden.join(' ')).rejects.toThrow('NOPERM')
    }
    redis.disconnect()
    await expect(migrate('order-worker')).rejects.toThrow(/denied/i)

    const place = 'blitzbuy.order-worker:reservations:place'
    const dead = 'blitzbuy.order-worker:reservations:dead'
    const forbiddenInRabbitmq: [string, (channel: Channel) => Promise<unknown>][] = [
      ['api', (channel) => channel.assertQueue('blitzbuy.mine')],
      ['api', (channel) => channel.get(place)],
      ['order-worker', (channel) => channel.deleteQueue(place)],
      ['order-worker', (channel) => channel.get(dead)],
      ['stock-warmer', (channel) => channel.purgeQueue(place)],
    ]
    for (const [role, attempt] of forbiddenInRabbitmq) {
      await expect(onChannelOf(role, attempt), role).rejects.toThrow('ACCESS_REFUSED')
    }
  })

  it('let an operator examine all of them from the api host', async () => {
    const findings = await doctor()
    for (const check of ['mysql', 'redis', 'rabbitmq'].map((store) => `${store} answers`)) {
      expect(findings).toContainEqual(expect.objectContaining({ check, verdict: 'ok' }))
    }
    expect(findings).toContainEqual(
      expect.objectContaining({ check: 'order-workers', verdict: 'ok', found: '1 take messages' }),
    )
    expect(findings).toContainEqual(expect.objectContaining({ check: 'dead letters', found: '0' }))
  })

  it('keep no secret in what PM2 saves', async () => {
    await apiHost.run(['save'])
    const { SESSION_SECRETS = '', MYSQL_URL = '' } = settingsOf('api')
    const dump = apiHost.dump()
    expect(dump).toContain('--env-file')
    expect(dump).not.toContain(SESSION_SECRETS)
    expect(dump).not.toContain(new URL(MYSQL_URL).password)
  })
})
