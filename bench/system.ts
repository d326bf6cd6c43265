import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { POOL_SIZE } from '@blitzbuy/core/gate/picture-pool'
import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { migrateDatabase } from '@blitzbuy/core/mysql/migrate'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'
import { createSales } from '@blitzbuy/core/sale/sales'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'

import type { OwnStores } from '../packages/core/test/own-stores.ts'
import { createShopperMaker } from '../scripts/blitz/make-shoppers.ts'
import { createTokenMaker } from '../scripts/blitz/make-tokens.ts'
import { root } from '../scripts/prepare.mjs'
import type { StepFailed, Steps } from '../scripts/steps.mjs'
import { findFreePort } from '../scripts/stores/ports.ts'
import { createProcessRecord, RECORD_ENDING } from '../scripts/stores/process-record.ts'
import { startStores } from '../scripts/stores/start-stores.ts'
import { NODE_FLAGS } from '../scripts/start/node-flags.ts'
import { TABLES } from './baselines/textbook.ts'
import { startProcess, type BenchProcess } from './bench-process.ts'
import { ask, askProgram } from './load/ask.ts'
import type { Load, LoadResult } from './load/load.ts'
import { until } from './until.ts'

const NAMESPACE = 'bench'
const READY_WITHIN_MS = 30_000
const WARM_WITHIN_MS = 60_000
const DRAWN_WITHIN_MS = 120_000
const STORE_TIMEOUT_MS = 20_000
const HOUR_MS = 3_600_000

/** BlitzBuy on stores of its own, the bare route, and the generator of their load. */
export interface BenchSystem {
  origins: { api: string; bare: string; textbook: string }
  pids: { api: number; bare: number; textbook: number; worker: () => number }
  stores: OwnStores
  maker: Awaited<ReturnType<typeof createShopperMaker>>
  /** Purchase tokens of a sale, as the human check would give them. */
  makeTokens(saleId: number, userIds: readonly number[]): Promise<string[]>
  /** Ends the order worker: what is accepted meanwhile waits in the queue. */
  stopWorker(): Promise<void>
  /** Starts it again, unless it runs. */
  startWorker(): Promise<void>
  /** @returns the id of a sale of the textbook's ways. */
  addTextbookSale(quota: number): Promise<number>
  /** @returns the id of a sale that is in Redis; open now, unless it opens later. */
  addSale(quota: number, opensAt?: Date): Promise<number>
  /** Several of these, open now. */
  addSales(count: number, quota: number): Promise<number[]>
  /** More processes of the api, until they are stopped. */
  startApis(count: number): Promise<ExtraApi[]>
  /** What keeps Redis and MySQL together stands still meanwhile. */
  withoutWarmer<T>(work: () => Promise<T>): Promise<T>
  generate(load: Load, onSteady?: () => void): Promise<LoadResult>
  /** Asks a program of the bench, which is started for this one question. */
  askProgram<Work extends object, Result>(file: string, work: Work): Promise<Result>
  /** Waits until the api has drawn its pictures: it does that for its first half minute, and whenever some were taken. */
  untilPicturesDrawn(): Promise<void>
  /** What the api had to warn of. */
  apiWarnings(): string[]
}

export interface ExtraApi {
  origin: string
  pid: number
  stop(): Promise<void>
}

export interface SystemOptions {
  folder: string
  profileFolder: string | undefined
  steps: Steps
  signal: AbortSignal
  onDeath: (error: StepFailed) => void
  /** Takes what ends something that was started; the last one given is to be called first. */
  onStop: (stop: () => Promise<void>) => void
}

export async function startSystem(options: SystemOptions): Promise<BenchSystem> {
  const { folder, steps, signal, onStop } = options
  const record = createProcessRecord(join(folder, `bench${RECORD_ENDING}`))
  const takenPorts = new Set<number>()
  const freePort = async (): Promise<string> => {
    const port = await findFreePort(takenPorts)
    takenPorts.add(port)
    return String(port)
  }
  const run = (name: string, args: string[], env: Record<string, string>): BenchProcess => {
    signal.throwIfAborted()
    const started = startProcess(name, args, env, { record, onDeath: options.onDeath })
    onStop(() => started.stop())
    return started
  }

  const stores = await steps.step('Stores', async (note) => {
    const started = await startStores({ folder: join(folder, 'stores'), say: steps.say, signal })
    onStop(() => started.stop())
    const { mysqlUrl, redisUrl, amqpUrl } = started
    await migrateDatabase(mysqlUrl)
    const mysql = connectMysql(mysqlUrl)
    onStop(() => mysql.close())
    await mysql.use(async ({ connection }) => {
      for (const table of TABLES) await connection.query(table)
    })
    const redis = connectRedis({
      url: redisUrl,
      namespace: NAMESPACE,
      commandTimeoutMs: STORE_TIMEOUT_MS,
    })
    onStop(async () => redis.disconnect())
    await redisReady(redis, READY_WITHIN_MS)
    note('private ones, empty')
    return { mysqlUrl, redisUrl, amqpUrl, namespace: NAMESPACE, mysql, redis, sales: createSales(mysql) }
  })

  const apiPort = await freePort()
  const barePort = await freePort()
  const textbookPort = await freePort()
  const origins = {
    api: `http://127.0.0.1:${apiPort}`,
    bare: `http://127.0.0.1:${barePort}`,
    textbook: `http://127.0.0.1:${textbookPort}`,
  }
  const secrets = {
    SESSION_SECRETS: secret(),
    ORDER_ID_SECRETS: secret(),
    PURCHASE_TOKEN_SECRETS: secret(),
    PAYMENT_CALLBACK_SECRETS: secret(),
    SECOND_FACTOR_SECRETS: secret(),
  }

  const { pids, api, apiHealthPort, warmer, generator, runPackage, stopWorker, startWorker } =
    await steps.step('Processes', async (note) => {
      const env = {
        NODE_ENV: 'production',
        LOG_LEVEL: 'warn',
        MYSQL_URL: stores.mysqlUrl,
        REDIS_URL: stores.redisUrl,
        AMQP_URL: stores.amqpUrl,
        NAMESPACE,
        PUBLIC_ORIGIN: origins.api,
        // Limits stay on: each shopper has an address of their own, which the generator tells.
        TRUSTED_PROXIES: '127.0.0.1',
        PAYMENT_PROVIDER: 'sandbox',
        ...secrets,
      }
      const runPackage = async (name: string, { as = name, flags = [] as string[], port = '0' } = {}) => {
        const healthPort = await freePort()
        const main = join(root, 'packages', name, 'dist', 'main.js')
        const ports = { PORT: port, HEALTH_PORT: healthPort }
        const started = run(as, [...NODE_FLAGS, ...flags, main], { ...env, ...ports })
        const readyUrl = `http://127.0.0.1:${healthPort}/readyz`
        return { started, healthPort, ready: answers(readyUrl, (status) => status === 200, signal) }
      }
      const { profileFolder } = options
      const profiling = profileFolder ? ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`] : []

      let worker: BenchProcess | undefined
      const stopWorker = async (): Promise<void> => {
        await worker?.stop()
        worker = undefined
      }
      const startWorker = async (): Promise<void> => {
        if (worker) return
        const next = await runPackage('order-worker')
        worker = next.started
        await next.ready
      }
      const warmer = await runPackage('stock-warmer')
      const api = await runPackage('api', { flags: profiling, port: apiPort })
      // With the api's own flags: what they bring is no merit of the route.
      const bare = run('bare', [...NODE_FLAGS, ...fromSource('compare/bare-route.ts')], { PORT: barePort })
      const textbook = run('textbook', [...NODE_FLAGS, ...fromSource('baselines/main.ts')], {
        ...env,
        PORT: textbookPort,
      })
      const generator = run('generator', fromSource('load/generate-load.ts'), {})
      await Promise.all([
        startWorker(),
        api.ready,
        warmer.ready,
        answers(origins.bare, () => true, signal),
        answers(origins.textbook, (status) => status === 200, signal),
      ])
      note('api, order-worker, stock-warmer, the bare route, the textbook’s ways, the load generator')
      const pids = {
        api: api.started.pid,
        bare: bare.pid,
        textbook: textbook.pid,
        worker: () => worker?.pid ?? 0,
      }
      return {
        pids,
        api: api.started,
        apiHealthPort: api.healthPort,
        warmer: warmer.started,
        generator,
        runPackage,
        stopWorker,
        startWorker,
      }
    })

  const maker = await createShopperMaker({
    ...stores,
    sessionSecrets: [secrets.SESSION_SECRETS],
    publicOrigin: origins.api,
  })
  const productId = await stores.sales.addProduct({
    title: 'Bench',
    description: 'A park bench.',
    imagePath: '/b.svg',
  })
  const readStocks = createReadStocks(stores.redis)
  const warmSale = createWarmSale(stores)
  /** Built at once and not when the stock-warmer comes to it, which compares hundreds of sales at the end of a run. */
  async function addSale(quota: number, opensAt = new Date(Date.now() - HOUR_MS)): Promise<number> {
    signal.throwIfAborted()
    const saleId = await stores.sales.add({
      productId,
      priceCents: 4_900,
      listPriceCents: 8_900,
      currency: 'USD',
      quota,
      opensAt,
      closesAt: new Date(Date.now() + 6 * HOUR_MS),
      // Nothing expires while it is measured and counted.
      paymentWindowSeconds: 4 * 3600,
      // Everybody who asks for one of the units gets to try.
      tokensPerUnit: 0,
    })
    await warmSale.build(saleId)
    // Of two who build at the same time one is fenced.
    const isWarm = async () => (await readStocks([saleId]))[0]?.state === 'open'
    await until(`sale ${saleId} is warmed`, isWarm, { withinMs: WARM_WITHIN_MS, signal })
    return saleId
  }
  let textbookSales = 0

  return {
    origins,
    pids,
    stores,
    maker,
    stopWorker,
    startWorker,

    async addTextbookSale(quota) {
      textbookSales += 1
      await stores.mysql.use(({ connection }) =>
        connection.query('INSERT INTO textbook_sales (id, quota) VALUES (?, ?)', [textbookSales, quota]),
      )
      await stores.redis.set(`textbook:stock:${textbookSales}`, quota)
      return textbookSales
    },

    async makeTokens(saleId, userIds) {
      const tokenMaker = await createTokenMaker(saleId, {
        redis: stores.redis,
        sales: stores.sales,
        purchaseTokenSecrets: [secrets.PURCHASE_TOKEN_SECRETS],
        lifetimeMs: HOUR_MS,
      })
      return tokenMaker.makeTokens(userIds)
    },

    addSale: (quota, opensAt) => addSale(quota, opensAt),

    async addSales(count, quota) {
      const saleIds: number[] = []
      while (saleIds.length < count) saleIds.push(await addSale(quota))
      return saleIds
    },

    async startApis(count) {
      return Promise.all(
        Array.from({ length: count }, async () => {
          const port = await freePort()
          // A name of its own in the record: one that is there twice would be ended once.
          const { started, ready } = await runPackage('api', { as: `api-${port}`, port })
          await ready
          return { origin: `http://127.0.0.1:${port}`, pid: started.pid, stop: () => started.stop() }
        }),
      )
    },

    async withoutWarmer(work) {
      process.kill(warmer.pid, 'SIGSTOP')
      try {
        return await work()
      } finally {
        process.kill(warmer.pid, 'SIGCONT')
      }
    },

    generate: (load, onSteady) =>
      ask<Load, LoadResult>(generator.child, load, {
        signal,
        ...(onSteady && { onMilestone: onSteady }),
      }),

    askProgram: (file, work) =>
      askProgram(file, work, { env: { REDIS_URL: stores.redisUrl, NAMESPACE }, signal }),

    async untilPicturesDrawn() {
      const areDrawn = async () => {
        const answer = await fetch(`http://127.0.0.1:${apiHealthPort}/metrics`)
        const [, count] = /^blitzbuy_captcha_pictures (\d+)$/m.exec(await answer.text()) ?? []
        return Number(count) === POOL_SIZE
      }
      await until('the pool of pictures is full', areDrawn, {
        withinMs: DRAWN_WITHIN_MS,
        everyMs: 500,
        signal,
      })
    },

    apiWarnings: () =>
      api
        .output()
        .split('\n')
        .filter((line) => line.trim() !== ''),
  }
}

function fromSource(file: string): string[] {
  return ['--import', 'tsx', fileURLToPath(new URL(file, import.meta.url))]
}

/** Waits until a URL answers with a status that will do. */
function answers(url: string, isGood: (status: number) => boolean, signal: AbortSignal): Promise<void> {
  const isUp = async () => {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) })
    await answer.arrayBuffer()
    return isGood(answer.status)
  }
  return until(`${url} answers`, isUp, { withinMs: READY_WITHIN_MS, signal })
}

function secret(): string {
  return randomBytes(32).toString('base64url')
}
