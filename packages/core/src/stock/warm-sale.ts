import type { Redis } from 'ioredis'
import type { RowDataPacket } from 'mysql2/promise'

import { crashPoint } from '../crash-point.ts'
import { ClocksDiffer, StoreAway } from '../errors.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import { UNITS_ROSE, channelOf } from '../redis/channels.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import { LIST_MAX, bindScript } from '../redis/lua-script.ts'
import type { Sale, Sales } from '../sale/sales.ts'
import {
  adoptLedgerScript,
  adoptOrdersScript,
  configureStockScript,
  createStockScript,
  noteRestartScript,
  openStockScript,
} from './build-stock.ts'
import { keepSale } from './kept-sales.ts'
import type { StockSnapshot } from './read-stock.ts'
import { stockKeys } from './stock-keys.ts'

export type WarmNeed = 'none' | 'configure' | 'build' | 'note-restart' | 'reconcile'

/** A copy that has been warming for this long was given up by its builder. */
const BUILD_ABANDONED_MS = 30_000

/** How long the units of a copy may be wrong before somebody looks. */
const RECONCILE_EVERY_MS = 60_000

/**
 * Compares what MySQL says of a sale with its copy in Redis. On a healthy copy there is nothing to do.
 *
 * Everything that is asked is in the copy itself, so a warmer that has just started knows as much as the others.
 *
 * @param runId of the Redis that runs now
 */
export function warmNeed(
  sale: Sale,
  copy: StockSnapshot | undefined,
  nowMs: number,
  runId: string | undefined = copy?.runId,
): WarmNeed {
  if (!copy || copy.epoch !== sale.stockEpoch) return 'build'
  if (copy.state === 'warming' && nowMs - copy.warmingSinceMs > BUILD_ABANDONED_MS) return 'build'
  if (copy.runId !== runId) return 'note-restart'
  if (copy.revision < sale.revision) return 'configure'
  const isDue = copy.state !== 'warming' && nowMs - copy.reconciledAtMs > RECONCILE_EVERY_MS
  return isDue ? 'reconcile' : 'none'
}

export interface WarmSale {
  /** Brings the settings of a running sale into force. */
  configure(sale: Sale): Promise<void>
  /** Redis was started anew: lowers every flag, and has the copy compared with MySQL. */
  noteRestart(saleId: number, runId: string): Promise<void>
  /**
   * Builds a new copy: create, adopt what is taken, open.
   *
   * Any number of processes may build at once: the one with the highest epoch finishes, the others are fenced.
   *
   * @throws when a step failed; the copy then stays `warming`, sells nothing, and is built again.
   */
  build(saleId: number): Promise<'opened' | 'fenced'>
}

export function createWarmSale(deps: { mysql: Mysql; redis: Redis; sales: Sales }): WarmSale {
  const { mysql, redis, sales } = deps
  const channel = channelOf(redis, UNITS_ROSE)
  const create = bindScript(redis, createStockScript)
  const adoptLedger = bindScript(redis, adoptLedgerScript)
  const adoptOrders = bindScript(redis, adoptOrdersScript)
  const open = bindScript(redis, openStockScript)
  const noteRestart = bindScript(redis, noteRestartScript)
  const configure = bindScript(redis, configureStockScript)

  /** Every reservation that waits for MySQL holds units, whatever MySQL will say. */
  async function adoptTheLedger(saleId: number, epoch: number): Promise<'adopted' | 'fenced'> {
    let cursor = '0'
    do {
      const page = await adoptLedger(stockKeys(saleId), { epoch, cursor })
      if (page.kind === 'fenced') return 'fenced'
      cursor = page.cursor
    } while (cursor !== '0')
    return 'adopted'
  }

  /** Read only now, after `create`: an order that is placed later tells this copy by itself. */
  async function adoptTheOrders(saleId: number, epoch: number): Promise<'adopted' | 'fenced'> {
    let afterUserId = 0
    for (;;) {
      const page = await readLiveOrders(mysql, saleId, afterUserId)
      if (page.orders.length === 0) return 'adopted'
      const answer = await adoptOrders(stockKeys(saleId), { epoch, decidedAtMs: page.readAtMs }, page.orders)
      if (answer === 'stale') throw new ClocksDiffer()
      if (answer === 'fenced') return 'fenced'
      afterUserId = page.orders.at(-1)?.userId ?? afterUserId
    }
  }

  return {
    async configure(sale) {
      const { saleId, revision, quota, opensAtMs, closesAtMs } = sale
      await configure(stockKeys(saleId), {
        saleId,
        revision,
        quota,
        opensAtMs,
        closesAtMs,
        openAs: openAs(sale),
        channel,
      })
    },

    async noteRestart(saleId, runId) {
      await noteRestart(stockKeys(saleId), { runId, saleId, channel })
    },

    async build(saleId) {
      const sale = await sales.nextStockEpoch(saleId)
      if (!sale) return 'fenced'
      const { stockEpoch: epoch, revision, quota, opensAtMs, closesAtMs, unitsPerUser } = sale
      const runId = await readRunId(redis)
      const window = { opensAtMs, closesAtMs, openAs: openAs(sale) }
      const settings = { epoch, revision, quota, unitsPerUser, runId, ...window }
      await keepSale(redis, saleId)
      crashPoint('before-create')
      if ((await create(stockKeys(saleId), settings)) === 'fenced') return 'fenced'
      crashPoint('after-create')
      if ((await adoptTheLedger(saleId, epoch)) === 'fenced') return 'fenced'
      crashPoint('mid-adopt')
      if ((await adoptTheOrders(saleId, epoch)) === 'fenced') return 'fenced'
      // A Redis that restarted meanwhile may have lost a page that was adopted.
      if ((await readRunId(redis)) !== runId)
        throw new StoreAway('redis', 'unknown', new Error('it was restarted'))
      crashPoint('before-open')
      return open(stockKeys(saleId), { epoch, saleId, channel })
    },
  }
}

function openAs(sale: Sale): 'open' | 'paused' | 'closed' {
  return sale.state === 'scheduled' ? 'open' : sale.state
}

/** Redis makes up a new one at every start. */
export async function readRunId(redis: Redis): Promise<string> {
  return /^run_id:(\w+)/m.exec(await redisAnswer(redis.info('server')))?.[1] ?? ''
}

type LiveOrder = { orderId: string; userId: number; quantity: number }

/** A page of live orders by user, through the index `one_live_order_per_user_and_sale`. */
async function readLiveOrders(
  mysql: Mysql,
  saleId: number,
  afterUserId: number,
): Promise<{ readAtMs: number; orders: LiveOrder[] }> {
  return mysql.use(async ({ connection }) => {
    // The time first: what is read after it was still live then or later.
    const [[clock]] = await connection.query<(RowDataPacket & { now: Date })[]>(
      'SELECT UTC_TIMESTAMP(3) AS now',
    )
    const [orders] = await connection.query<(RowDataPacket & LiveOrder)[]>(
      `SELECT id AS orderId, user_id AS userId, quantity FROM orders FORCE INDEX (one_live_order_per_user_and_sale)
        WHERE sale_id = ? AND live = 1 AND user_id > ? ORDER BY user_id LIMIT ?`,
      [saleId, afterUserId, LIST_MAX],
    )
    return { readAtMs: clock?.now.getTime() ?? 0, orders }
  })
}
