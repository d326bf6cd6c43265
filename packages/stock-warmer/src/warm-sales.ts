import type { Logger } from '@blitzbuy/core/log'
import type { RedisClock } from '@blitzbuy/core/redis/redis-clock'
import type { Sales } from '@blitzbuy/core/sale/sales'
import type { ReadStocks } from '@blitzbuy/core/stock/read-stock'
import { warmNeed, type WarmSale } from '@blitzbuy/core/stock/warm-sale'
import { ExecutionError, type Redlock } from 'redlock'

/** Longer than a build takes; it is extended while one runs. */
const LOCK_MS = 10_000

/**
 * One look at every sale that is about to open, open, or closed since less than a day: builds the Redis copy where
 * it is missing or wrong, and brings changed settings into force.
 *
 * The lock only saves work: two warmers that build the same sale are told apart by the epoch.
 */
export function createWarmSales(deps: {
  sales: Sales
  readStocks: ReadStocks
  warmSale: WarmSale
  redlock: Redlock
  clock: RedisClock
  warmAheadMs: number
  log: Logger
}): () => Promise<void> {
  const { sales, readStocks, warmSale, redlock, clock, warmAheadMs, log } = deps

  return async () => {
    const due = await sales.listToWarm(warmAheadMs)
    await clock.refresh()
    const copies = await readStocks(due.map((sale) => sale.saleId))
    for (const [at, sale] of due.entries()) {
      const { saleId } = sale
      switch (warmNeed(sale, copies[at], clock.nowMs())) {
        case 'none':
          break
        case 'configure':
          await warmSale.configure(sale)
          log.info({ saleId, revision: sale.revision }, 'configured')
          break
        case 'build':
          await buildUnderLock(saleId)
          break
      }
    }
  }

  async function buildUnderLock(saleId: number): Promise<void> {
    try {
      await redlock.using([`lock:{sale:${saleId}}:warm`], LOCK_MS, async () => {
        // Whoever held the lock before may have built it meanwhile.
        const sale = await sales.find(saleId)
        const [copy] = await readStocks([saleId])
        if (!sale || warmNeed(sale, copy, clock.nowMs()) !== 'build') return
        log.info({ saleId, outcome: await buildUntilDone(saleId) }, 'built')
      })
    } catch (error) {
      // Another warmer is at it.
      if (!(error instanceof ExecutionError)) throw error
      log.debug({ saleId }, 'another warmer holds the lock')
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
