import { setTimeout as pause } from 'node:timers/promises'

import { SharedConfig } from '@blitzbuy/core/config'
import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { createReadSaleFigures, type SaleFigures } from '@blitzbuy/core/order/sale-figures'
import { examineQueues } from '@blitzbuy/core/rabbitmq/examine-queues'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'
import { Type } from 'typebox'

import { paint, StepFailed } from '../steps.mjs'
import { readSystemSettings } from './environment.ts'
import { readRates, type Rates, type Scraped } from './read-rates.ts'

const WatchConfig = Type.Object({
  MYSQL_URL: SharedConfig.properties.MYSQL_URL,
  REDIS_URL: SharedConfig.properties.REDIS_URL,
  AMQP_URL: SharedConfig.properties.AMQP_URL,
  NAMESPACE: SharedConfig.properties.NAMESPACE,
})

const READY_MS = 5_000
const LOOK_EVERY_MS = 1_000
const BAR_WIDTH = 40

export interface WatchOptions {
  json?: true
  /** Where the health ports of the apis are; each answers /metrics. */
  api: string[]
  /** How many looks; without it until Ctrl-C. */
  count?: number
}

interface Look {
  figures: SaleFigures
  queue: { ready: number; workers: number; deadLetters: number } | undefined
  rates: Rates | undefined
}

/** A sale as it runs: one picture that is drawn again every second, or a JSON line a second. */
export async function watch(saleId: number, { json, api, count }: WatchOptions): Promise<void> {
  const { settings, origin } = readSystemSettings(WatchConfig, { allowsProduction: true })
  const mysql = connectMysql(settings.MYSQL_URL, { connectionLimit: 1 })
  const redis = connectRedis({ url: settings.REDIS_URL, namespace: settings.NAMESPACE })
  const readFigures = createReadSaleFigures({ mysql, redis })
  const stopping = new AbortController()
  process.once('SIGINT', () => stopping.abort())
  let scraped: Scraped | undefined
  try {
    await redisReady(redis, READY_MS)
    for (let looks = 1; !stopping.signal.aborted; looks += 1) {
      const [figures] = await readFigures([saleId])
      if (!figures) throw new StepFailed(`There is no sale ${saleId} in ${origin}.`)
      const now = await readRates(api, saleId, scraped)
      scraped = now?.scraped
      const queue = await examineQueues(settings.AMQP_URL, settings.NAMESPACE).then(
        ({ place, dead }) => ({
          ready: place.readyCount,
          workers: place.consumerCount,
          deadLetters: dead.readyCount,
        }),
        () => undefined,
      )
      const look = { figures, queue, rates: now?.rates }
      if (json) process.stdout.write(`${JSON.stringify({ at: new Date().toISOString(), ...look })}\n`)
      else draw(look, looks > 1)
      if (looks === count) break
      await pause(LOOK_EVERY_MS, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  } finally {
    redis.disconnect()
    await mysql.close()
  }
}

function draw(look: Look, again: boolean): void {
  const lines = picture(look)
  // Back to the first line, and each line anew: nothing flickers, and what was said before stays above.
  const isScreen = process.stdout.isTTY
  const up = again && isScreen ? `\x1b[${lines.length}A` : ''
  process.stdout.write(up + lines.map((line) => `${isScreen ? '\x1b[2K' : ''}${line}\n`).join(''))
}

function picture({ figures, queue, rates }: Look): string[] {
  const { saleId, quota, stock, unsettledCount, unsettledOldestMs, driftUnits, oversoldUnits } = figures
  const left = stock?.unitsLeft ?? 0
  const sold = figures.awaitingPaymentUnits + figures.paidUnits
  const full = Math.min(BAR_WIDTH, Math.max(0, Math.round((sold / Math.max(1, quota)) * BAR_WIDTH)))
  const alarm = (isBad: boolean, text: string): string => (isBad ? paint('red', text) : text)
  const away = 'not told'
  return [
    `sale ${saleId}  ${stock?.state ?? 'not in Redis'}  ${new Date().toISOString()}`,
    `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)}  ${left} left of ${quota}`,
    `orders     ${figures.awaitingPaymentUnits} units wait for money, ${figures.paidUnits} paid${alarm(oversoldUnits > 0, oversoldUnits > 0 ? `, ${oversoldUnits} OVERSOLD` : '')}`,
    `on the way ${alarm(unsettledOldestMs > 10_000, `${unsettledCount} unsettled, the oldest for ${(unsettledOldestMs / 1000).toFixed(1)} s`)}`,
    `queue      ${queue ? `${queue.ready} messages ready, ${alarm(queue.workers === 0, `${queue.workers} workers`)}, ${alarm(queue.deadLetters > 0, `${queue.deadLetters} dead letters`)}` : alarm(true, away)}`,
    `drift      ${driftUnits === undefined ? 'cannot be told while orders move' : alarm(driftUnits !== 0, String(driftUnits))}`,
    `accepted   ${rates ? `${rates.acceptedPerSecond.toFixed(0)}/s` : away}`,
    `refused    ${rates ? refusals(rates) : away}`,
    `p99        ${rates?.p99Ms === undefined ? away : `${rates.p99Ms} ms or less`}`,
  ]
}

function refusals({ refusedPerSecond }: Rates): string {
  const said = Object.entries(refusedPerSecond).map(([outcome, rate]) => `${outcome} ${rate.toFixed(0)}/s`)
  return said.length === 0 ? 'none' : said.join(', ')
}
