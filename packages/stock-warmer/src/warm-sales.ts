import { setTimeout as pause } from 'node:timers/promises'

import { assertNever } from '@blitzbuy/core/errors'
import type { Logger } from '@blitzbuy/core/log'
import type { ReconcileSale } from '@blitzbuy/core/order/reconcile-sale'
import type { LookAtQueue } from '@blitzbuy/core/rabbitmq/queue-look'
import type { Redis } from '@blitzbuy/core/redis/connect-redis'
import type { RedisClock } from '@blitzbuy/core/redis/redis-clock'
import type { Sale, Sales } from '@blitzbuy/core/sale/sales'
import { keepSale } from '@blitzbuy/core/stock/kept-sales'
import { createReadStocks, type StockSnapshot } from '@blitzbuy/core/stock/read-stock'
import { readRunId, warmNeed, type WarmSale } from '@blitzbuy/core/stock/warm-sale'
import { ExecutionError, type Redlock } from 'redlock'

/** Longer than a build takes; it is extended while one runs. */
const LOCK_MS = 10_000

/** How long a build waits for what RabbitMQ still has, when Redis lost everything. */
const COURTESY_MS = 30_000
const LOOK_EVERY_MS = 250

/** Long work at once; each waits for its stores most of the time. */
const AT_ONCE_MAX = 4

/** What takes long: a copy to build, or to compare with MySQL. */
interface Job {
  need: 'build' | 'reconcile'
  sale: Sale
  work: () => Promise<void>
}
/** How long an ending process waits for it: half a build is built again by another warmer, half a comparison too. */
const CLOSE_WITHIN_MS = 5_000

export interface WarmSales {
  /** Sees what each sale needs; what takes long goes on behind it, so that no other sale waits for it. */
  look(): Promise<void>
  close(): Promise<void>
}

/**
 * Looks at every sale that is about to open, open, or closed since less than a day: builds the Redis copy where
 * it is missing or wrong, brings changed settings into force, and has it compared with MySQL once a minute, and at
 * once when Redis was started anew.
 *
 * The locks only save work: two warmers that build the same sale are told apart by the epoch, and what two of them
 * repair is repaired once.
 */
export function createWarmSales(deps: {
  sales: Sales
  redis: Redis
  warmSale: WarmSale
  reconcileSale: ReconcileSale
  lookAtQueue: LookAtQueue
  redlock: Redlock
  clock: RedisClock
  warmAheadMs: number
  log: Logger
}): WarmSales {
  const { sales, redis, warmSale, reconcileSale, lookAtQueue, redlock, clock, warmAheadMs, log } = deps
  const readStocks = createReadStocks(redis)

  const closing = new AbortController()
  /** What the last look found to do, the most urgent last. */
  let toDo: Job[] = []
  /** Sales that are being built or compared by this process, each with its work. */
  const atWork = new Map<number, Promise<void>>()

  return {
    async look() {
      const due = await sales.listToWarm(warmAheadMs)
      await clock.refresh()
      const runId = await readRunId(redis)
      const copies = await readStocks(due.map((sale) => sale.saleId))
      await keepSale(redis, ...due.map((sale) => sale.saleId))
      const found: Job[] = []
      for (const [at, sale] of due.entries()) {
        const job = await warm(sale, copies[at], runId)
        if (job) found.push(job)
      }
      toDo = found.toSorted(byUrgency)
      beginNext()
    },

    async close() {
      closing.abort()
      await Promise.race([Promise.all(atWork.values()), pause(CLOSE_WITHIN_MS, undefined, { ref: false })])
    },
  }

  /** As many as have a place. Whoever is done makes place for the next one, so that hundreds wait for no further look. */
  function beginNext(): void {
    while (atWork.size < AT_ONCE_MAX && !closing.signal.aborted) {
      const job = toDo.pop()
      if (!job) return
      if (!atWork.has(job.sale.saleId)) atWork.set(job.sale.saleId, run(job))
    }
  }

  async function run({ sale: { saleId }, need, work }: Job): Promise<void> {
    try {
      await underLock(saleId, need, work)
    } catch (error) {
      if (!closing.signal.aborted) log.warn({ err: error, saleId }, 'failed; trying again')
      // Most often a store is away: the next look is early enough for the others, and hundreds of lines say no more than one.
      toDo = []
    } finally {
      atWork.delete(saleId)
      beginNext()
    }
  }

  /** Does what is quick, and answers with what takes long. */
  async function warm(sale: Sale, copy: StockSnapshot | undefined, runId: string): Promise<Job | undefined> {
    const { saleId } = sale
    const need = warmNeed(sale, copy, clock.nowMs(), runId)
    switch (need) {
      case 'none':
        return undefined
      case 'note-restart':
        await warmSale.noteRestart(saleId, runId)
        log.warn({ saleId, runId }, 'Redis was started anew')
        // Its last second may be lost: buyers are told wrong things until it is compared.
        return warm(sale, (await readStocks([saleId]))[0], runId)
      case 'configure':
        await warmSale.configure(sale)
        log.info({ saleId, revision: sale.revision }, 'configured')
        return undefined
      case 'reconcile':
        return { need, sale, work: () => reconcile(saleId) }
      case 'build':
        return {
          need,
          sale,
          work: async () => {
            await waitForQueue(sale, copy)
            log.info({ saleId, outcome: await buildUntilDone(saleId) }, 'built')
          },
        }
      default:
        return assertNever(need)
    }
  }

  async function underLock(saleId: number, need: Job['need'], work: () => Promise<void>): Promise<void> {
    const name = need === 'build' ? 'warm' : need
    try {
      await redlock.using([`lock:{sale:${saleId}}:${name}`], LOCK_MS, async () => {
        // Whoever held the lock before may have done it meanwhile.
        const sale = await sales.find(saleId)
        const [copy] = await readStocks([saleId])
        if (sale && warmNeed(sale, copy, clock.nowMs()) === need) await work()
      })
    } catch (error) {
      // Another warmer is at it.
      if (!(error instanceof ExecutionError)) throw error
      log.debug({ saleId, lock: name }, 'another warmer holds the lock')
    }
  }

  async function reconcile(saleId: number): Promise<void> {
    const outcome = await reconcileSale(saleId)
    if (outcome.kind === 'not_warmed') return
    const drift = outcome.endedCount + outcome.unheldCount + outcome.unlistedCount
    const hasDrift = drift > 0 || (outcome.unitsDrift ?? 0) !== 0
    log[hasDrift ? 'warn' : 'debug']({ saleId, drift, ...outcome }, 'compared Redis with MySQL')
  }

  /**
   * Courtesy alone: what comes later is adopted when it is placed. But who holds a unit of before the loss would else
   * compete for it with those who come after.
   */
  async function waitForQueue(sale: Sale, copy: StockSnapshot | undefined): Promise<void> {
    const isLoss = copy === undefined && sale.stockEpoch > 0
    const untilMs = performance.now() + COURTESY_MS
    while (isLoss && performance.now() < untilMs && !closing.signal.aborted) {
      const look = await lookAtQueue()
      // A broker that is away has nothing to wait for.
      if (look === undefined || look.readyCount === 0) return
      await pause(LOOK_EVERY_MS, undefined, { signal: closing.signal })
    }
  }

  /** After a failed step the copy is half-built and sells nothing: start again at once, with the next epoch. */
  async function buildUntilDone(saleId: number): Promise<'opened' | 'fenced'> {
    try {
      return await warmSale.build(saleId)
    } catch (error) {
      log.warn({ err: error, saleId }, 'build failed; starting again')
      return warmSale.build(saleId)
    }
  }
}

/** A sale without a copy sells nothing: it comes before all that are only compared, the one that opens first before others. */
function byUrgency(one: Job, other: Job): number {
  if (one.need !== other.need) return one.need === 'build' ? 1 : -1
  return other.sale.opensAtMs - one.sale.opensAtMs
}
