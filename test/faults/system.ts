import { existsSync, readdirSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

import { connectMysql, type Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import { migrateDatabase } from '@blitzbuy/core/mysql/migrate'
import { connectRedis, redisReady, type Redis } from '@blitzbuy/core/redis/connect-redis'
import { createSales, type NewSale, type Sales } from '@blitzbuy/core/sale/sales'
import { connect as connectAmqp, type Channel } from 'amqplib'
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise'

import { createShopperMaker, type Shopper } from '../../scripts/blitz/make-shoppers.ts'
import { run } from '../../scripts/run.mjs'
import { findFreePort } from '../../scripts/stores/ports.ts'
import { createProcessRecord, RECORD_ENDING } from '../../scripts/stores/process-record.ts'
import { createSettings } from '../../scripts/stores/settings.ts'
import { startStores } from '../../scripts/stores/start-stores.ts'
import type { StoreName, Stores } from '../../scripts/stores/store.ts'
import { createHistory, type History } from './history.ts'
import { createFaultProcess, type FaultProcess, type Role } from './processes.ts'
import { startProxy, type Proxy } from './proxy.ts'
import { untilTrue } from './until-true.ts'
import { ownSecrets } from '../own-secrets.ts'

const NAMESPACE = 'faults'
const STORE_TIMEOUT_MS = 10_000
const HOUR_MS = 3_600_000
/** As a user of the shop is: what cannot be bought at once is not worth waiting for. */
const LIMIT = '1000000/1'

/** Private stores, several processes of each kind, and a link of its own from each process to each store. */
export interface FaultSystem {
  stores: Stores
  apis: FaultProcess[]
  workers: FaultProcess[]
  warmers: FaultProcess[]
  processes: FaultProcess[]
  history: History
  /** Straight to the stores, for the auditor and for who plays operator or provider. */
  mysql: Mysql
  redis: Redis
  sales: Sales
  secrets: Record<'SESSION_SECRETS' | 'PURCHASE_TOKEN_SECRETS' | 'PAYMENT_CALLBACK_SECRETS', string>
  queueName: string
  exchangeName: string
  makeShoppers: (count: number) => Promise<Shopper[]>
  /** Redis that lost its sessions makes everybody log in again. */
  logInAgain: (shopper: Shopper) => Promise<void>
  addSale: (changes?: Partial<NewSale>) => Promise<number>
  untilOpen: (saleId: number, withinMs?: number) => Promise<void>
  withBroker: <T>(work: (channel: Channel) => Promise<T>) => Promise<T>
  /** As root, so that it gets in when the connections are used up. */
  asMysqlRoot: (...statements: string[]) => Promise<RowDataPacket[]>
  connectMysqlRoot: () => Promise<Connection>
  rabbitmqctl: (...args: string[]) => Promise<void>
  /** The newest part of Redis' log, and how long it is. */
  redisLog: () => { file: string; size: number }
  truncateRedisLog: (size: number) => void
  /** Everything stands again: stores, links, processes. */
  heal: () => Promise<void>
  stop: () => Promise<void>
}

export interface FaultSystemOptions {
  folder: string
  say: (line: string) => void
  signal?: AbortSignal | undefined
  counts?: { apis: number; workers: number; warmers: number }
}

export async function startFaultSystem(options: FaultSystemOptions): Promise<FaultSystem> {
  const { folder, say, signal, counts = { apis: 2, workers: 2, warmers: 2 } } = options
  const storesFolder = join(folder, 'stores')
  const stores = await startStores({ folder: storesFolder, say, signal })
  await migrateDatabase(stores.mysqlUrl)
  const mysql = connectMysql(stores.mysqlUrl, { connectionLimit: 5 })
  const redis = connectRedis({
    url: stores.redisUrl,
    namespace: NAMESPACE,
    commandTimeoutMs: STORE_TIMEOUT_MS,
  })
  await redisReady(redis, STORE_TIMEOUT_MS)

  const history = createHistory()
  const record = createProcessRecord(join(folder, `faults${RECORD_ENDING}`))
  const secrets = ownSecrets()
  const takenPorts = new Set<number>()
  const freePort = async (): Promise<string> => {
    const port = await findFreePort(takenPorts)
    takenPorts.add(port)
    return String(port)
  }

  async function makeProcess(role: Role, name: string): Promise<FaultProcess> {
    const urls: Record<StoreName, string> = {
      mysql: stores.mysqlUrl,
      redis: stores.redisUrl,
      rabbitmq: stores.amqpUrl,
    }
    const links = {} as Record<StoreName, Proxy>
    for (const store of Object.keys(urls) as StoreName[]) {
      const { hostname, port } = new URL(urls[store])
      links[store] = await startProxy({ host: hostname, port: Number(port) }, Number(await freePort()))
    }
    const through = (store: StoreName): string => {
      const url = new URL(urls[store])
      url.port = String(links[store].port)
      return url.href
    }
    const port = await freePort()
    const env = {
      NODE_ENV: 'test',
      LOG_LEVEL: 'info',
      MYSQL_URL: through('mysql'),
      REDIS_URL: through('redis'),
      AMQP_URL: through('rabbitmq'),
      NAMESPACE,
      PORT: port,
      HEALTH_PORT: await freePort(),
      PUBLIC_ORIGIN: `http://127.0.0.1:${port}`,
      TRUSTED_PROXIES: '127.0.0.1',
      CANCEL_COOLDOWN_SECONDS: '1',
      // The same few shoppers buy again and again, faster than people do.
      LIMIT_PURCHASE_ADDRESS: LIMIT,
      LIMIT_PURCHASE_USER: LIMIT,
      LIMIT_PURCHASE_RETRY: LIMIT,
      RULE_ORDER_UNPAID: 'off',
      RULE_LIMIT_BREACH: 'off',
      RULE_TOKEN_MISUSE: 'off',
      ...secrets,
    }
    return createFaultProcess({ name, role, env, links, record, history })
  }

  const several = async (role: Role, short: string, count: number): Promise<FaultProcess[]> => {
    const made: FaultProcess[] = []
    for (let number = 1; number <= count; number += 1)
      made.push(await makeProcess(role, `${short}-${number}`))
    return made
  }
  const apis = await several('api', 'api', counts.apis)
  const workers = await several('order-worker', 'worker', counts.workers)
  const warmers = await several('stock-warmer', 'warmer', counts.warmers)
  const processes = [...apis, ...workers, ...warmers]
  for (const one of processes) await one.start()
  await Promise.all(processes.map((one) => one.untilReady()))

  const maker = await createShopperMaker({
    mysql,
    redis,
    sessionSecrets: [secrets.SESSION_SECRETS],
    // A session cookie has the same name on every origin without TLS.
    publicOrigin: apis[0]?.origin ?? '',
  })
  const sales = createSales(mysql)
  const productId = await sales.addProduct({ title: 'Kettle', description: 'Boils.', imagePath: '/k.svg' })
  const settings = createSettings(join(storesFolder, 'stores.json'))

  const system: FaultSystem = {
    stores,
    apis,
    workers,
    warmers,
    processes,
    history,
    mysql,
    redis,
    sales,
    secrets,
    queueName: `${NAMESPACE}.order-worker:reservations:place`,
    exchangeName: `${NAMESPACE}.reservations`,
    makeShoppers: (count) => maker.makeAll(count),
    async logInAgain(shopper) {
      shopper.cookie = await maker.logInAgain(shopper)
    },

    addSale: (changes) =>
      sales.add({
        productId,
        priceCents: 4_900,
        listPriceCents: 8_900,
        currency: 'USD',
        quota: 150,
        opensAt: new Date(Date.now() - 60_000),
        closesAt: new Date(Date.now() + 6 * HOUR_MS),
        paymentWindowSeconds: 6,
        tokensPerUnit: 0,
        ...changes,
      }),

    untilOpen: (saleId, withinMs = 60_000) =>
      untilTrue(
        `sale ${saleId} is open`,
        async () => (await redis.hget(`{sale:${saleId}}:stock`, 'state')) === 'open',
        withinMs,
      ),

    async withBroker(work) {
      const connection = await connectAmqp(stores.amqpUrl, { timeout: STORE_TIMEOUT_MS })
      connection.on('error', () => undefined)
      try {
        const channel = await connection.createConfirmChannel()
        channel.on('error', () => undefined)
        return await work(channel)
      } finally {
        await connection.close().catch(() => undefined)
      }
    },

    async connectMysqlRoot() {
      const { hostname: host, port } = new URL(stores.mysqlUrl)
      const password = settings.secret('mysql-root', 18)
      const connection = await createConnection({ host, port: Number(port), user: 'root', password })
      connection.on('error', () => undefined)
      return connection
    },

    async asMysqlRoot(...statements) {
      const connection = await system.connectMysqlRoot()
      try {
        let rows: RowDataPacket[] = []
        for (const statement of statements) {
          const [answer] = await connection.query<RowDataPacket[]>(statement)
          rows = answer
        }
        return rows
      } finally {
        connection.destroy()
      }
    },

    async rabbitmqctl(...args) {
      const program = ['/usr/lib/rabbitmq/bin/rabbitmqctl', '/usr/sbin/rabbitmqctl'].find((path) =>
        existsSync(path),
      )
      if (!program) throw new Error('rabbitmqctl is not there')
      const { code, output } = await run(program, ['-n', 'bb@localhost', ...args], {
        env: {
          PATH: process.env.PATH,
          LANG: 'C.UTF-8',
          HOME: join(storesFolder, 'rabbitmq'),
          RABBITMQ_CONF_ENV_FILE: '/dev/null',
          ERL_EPMD_PORT: String(settings.port('epmd')),
          ERL_EPMD_ADDRESS: '127.0.0.1',
        },
        signal,
      })
      if (code !== 0) throw new Error(`rabbitmqctl ${args.join(' ')}: ${output}`)
    },

    redisLog() {
      const logFolder = join(storesFolder, 'redis', 'appendonlydir')
      const parts = readdirSync(logFolder).filter((name) => name.endsWith('.incr.aof'))
      const file = join(logFolder, parts.toSorted().at(-1) as string)
      return { file, size: statSync(file).size }
    },
    truncateRedisLog(size) {
      truncateSync(system.redisLog().file, size)
    },

    async heal() {
      for (const one of processes) one.signal('SIGCONT')
      for (const store of [stores.mysql, stores.redis, stores.rabbitmq]) {
        await store.kill('SIGCONT')
        if (!store.isAlive()) await store.start()
      }
      for (const one of processes) {
        for (const link of Object.values(one.links)) await link.heal()
        await one.start()
      }
      await Promise.all(processes.map((one) => one.untilReady()))
    },

    async stop() {
      await Promise.all(processes.map((one) => one.end()))
      for (const one of processes) for (const link of Object.values(one.links)) await link.close()
      redis.disconnect()
      await mysql.close()
      history.close()
      await stores.stop()
    },
  }
  // A queue that was declared a moment ago comes back empty after a kill -9 of the broker.
  await pause(2_000)
  return system
}
