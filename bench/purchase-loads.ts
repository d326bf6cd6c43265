import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

import type { RowDataPacket } from 'mysql2/promise'

import type { Shopper } from '../scripts/blitz/make-shoppers.ts'
import { audit, isAtRest } from '../test/audit.ts'
import type { Measurement } from './compare/scenarios.ts'
import type { Load } from './load/load.ts'
import { cpuTimeUs } from './process-figures.ts'
import type { BenchSystem } from './system.ts'
import { until } from './until.ts'

/** However fast the machine and long the round: a bench is no attack. */
export const REQUESTS_MAX = 300_000
export const PLACED_WITHIN_MS = 120_000
/** Between two measurements, for what the last one left behind. */
const QUIET_MS = 300

export type PurchaseLoads = ReturnType<typeof createPurchaseLoads>

/** Which processes answer, where the load goes, and what counts. */
export interface Target {
  origins: string[]
  pids: number[]
  paths: string[]
  connections: number
  expected: string[]
  method?: Load['method']
  bodies?: string[]
  /** The generator takes a core of its own: only where no store needs it. */
  isAwake?: boolean
}

/** Loads of many shoppers, measured; and what must be true after them. */
export function createPurchaseLoads({ stores, maker, ...system }: BenchSystem, signal: AbortSignal) {
  const shoppers: Shopper[] = []

  async function newShoppers(count: number): Promise<Shopper[]> {
    const made: Shopper[] = []
    for await (const batch of maker.makeShoppers(count)) {
      signal.throwIfAborted()
      made.push(...batch)
    }
    for (const shopper of made) shoppers.push(shopper)
    return made
  }

  async function load(target: Target, buyers: readonly Shopper[], tokens: string[]): Promise<Measurement> {
    signal.throwIfAborted()
    await pause(QUIET_MS)
    let cpuBefore = cpuTimeUs(...target.pids)
    const result = await system.generate(
      {
        origins: target.origins,
        method: target.method ?? 'POST',
        paths: target.paths,
        ...(target.bodies && { bodies: target.bodies }),
        ...(target.isAwake && { isAwake: true }),
        cookies: buyers.map(({ cookie }) => cookie),
        tokens,
        connections: Math.min(target.connections, buyers.length),
        expected: target.expected,
      },
      () => {
        cpuBefore = cpuTimeUs(...target.pids)
      },
    )
    const { steady, ...figures } = result
    return {
      ...figures,
      requests: buyers.length,
      requestsPerSecond: (steady.good / steady.elapsedMs) * 1000,
      serverCpuUsPerRequest: cpuUsPer(steady.answered, cpuBefore, cpuTimeUs(...target.pids)),
    }
  }

  return {
    newShoppers,
    load,

    /** No shopper twice in one load, but the ones of an earlier load will do. */
    async oldOrNewShoppers(count: number): Promise<Shopper[]> {
      if (shoppers.length < count) await newShoppers(count - shoppers.length)
      return shoppers.slice(-count)
    },

    /** The people of one slice, all slices being of that size: nobody is in two of them. */
    async sliceOfShoppers(at: number, count: number): Promise<Shopper[]> {
      const needed = (at + 1) * count
      if (shoppers.length < needed) await newShoppers(needed - shoppers.length)
      return shoppers.slice(at * count, needed)
    },

    /** With the tokens that the human check would have given them. */
    async purchases(target: Omit<Target, 'paths'>, saleId: number, buyers: readonly Shopper[]) {
      const tokens = await system.makeTokens(
        saleId,
        buyers.map(({ userId }) => userId),
      )
      return load({ ...target, paths: [purchasePath(saleId)] }, buyers, tokens)
    },

    /** @returns how long after the last answer it was. */
    async untilAtRest(saleId: number, lastAnswerAtMs: number): Promise<number> {
      const bounds = { withinMs: PLACED_WITHIN_MS, everyMs: 20, signal }
      await until(`every order of sale ${saleId} is placed`, () => isAtRest(stores, saleId), bounds)
      return Math.max(0, performance.timeOrigin + performance.now() - lastAnswerAtMs)
    },

    /** What the auditor finds wrong, and promises without an order or orders without a promise. */
    async violationsOf(
      saleIds: readonly number[],
      { accepted, unknown }: { accepted: number; unknown: number },
    ): Promise<string[]> {
      const found: string[] = []
      let orders = 0
      for (const saleId of saleIds) {
        const wrong = await audit(stores, saleId)
        found.push(...wrong.map((violation) => `sale ${saleId}: ${violation}`))
        orders += await countRows(stores, 'orders', saleId)
      }
      if (orders < accepted) found.push(`I4: ${accepted} answers of 202, but only ${orders} orders`)
      // An order without a 202 needs a request whose outcome its shopper was not told.
      if (orders > accepted + unknown)
        found.push(`I5: ${orders} orders, but ${accepted} answers of 202 and ${unknown} unknown`)
      return found
    },
  }
}

export function purchasePath(saleId: number): string {
  return `/api/v1/sales/${saleId}/orders`
}

/** What shoppers were told, for who compares it with the rows. */
export function toldOf({ statuses, unanswered }: Measurement): { accepted: number; unknown: number } {
  return { accepted: statuses['202'] ?? 0, unknown: unanswered + (statuses['503'] ?? 0) }
}

export async function countRows(
  { mysql }: BenchSystem['stores'],
  table: 'orders' | 'textbook_orders',
  saleId: number,
): Promise<number> {
  const [[row]] = await mysql.use(({ connection }) =>
    connection.query<(RowDataPacket & { rows: number })[]>(
      `SELECT COUNT(*) AS \`rows\` FROM ${table} WHERE sale_id = ?`,
      [saleId],
    ),
  )
  return row?.rows ?? 0
}

export function cpuUsPer(
  count: number,
  before: number | undefined,
  after: number | undefined,
): number | undefined {
  return before === undefined || after === undefined || count === 0 ? undefined : (after - before) / count
}
