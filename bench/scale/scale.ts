import { stockKeys } from '@blitzbuy/core/stock/stock-keys'

import type { Shopper } from '../../scripts/blitz/make-shoppers.ts'
import type { Steps } from '../../scripts/steps.mjs'
import type { Measurement } from '../compare/scenarios.ts'
import { medianOfKnown } from '../compare/summarize-comparison.ts'
import { addCounts } from '../report/section.ts'
import { readRedisFigures, residentBytes } from '../process-figures.ts'
import { PLACED_WITHIN_MS, purchasePath, toldOf, type PurchaseLoads } from '../purchase-loads.ts'
import { median, percentile, sortedTogether } from '../summary.ts'
import type { BenchSystem } from '../system.ts'
import { until } from '../until.ts'
import { createDimensions, FULL_SIZES, QUICK_SIZES, type Dimension, type Setup } from './dimensions.ts'
import { judge, type Verdict } from './judge.ts'

/** What one purchase cost at one point, in one round. */
interface Cost {
  apiCpuUs: number | undefined
  redisCpuUs: number
  measurement: Measurement
  apiBytes: number | undefined
  redisBytes: number
}

export interface PointSummary {
  point: number
  requestsPerSecond: number
  p50Ms: number
  p99Ms: number
  apiCpuUs: number | undefined
  redisCpuUs: number
  /** Both together, and of the cheapest and the dearest round. */
  cpuUs: number
  cpuUsRange: [number, number]
  apiBytes: number | undefined
  redisBytes: number | undefined
  statuses: Record<string, number>
}

export interface DimensionSummary extends Pick<Dimension, 'name' | 'title' | 'what'> {
  points: PointSummary[]
  verdict: Verdict
}

export interface ScaleSummary {
  rounds: number
  dimensions: DimensionSummary[]
}

/** Cost per purchase, the order worker running, while one thing grows. */
export async function measureScale(
  system: BenchSystem,
  loads: PurchaseLoads,
  { rounds, isQuick, steps, signal }: { rounds: number; isQuick: boolean; steps: Steps; signal: AbortSignal },
): Promise<{ summary: ScaleSummary; violations: string[] }> {
  const { stores } = system
  const sizes = isQuick ? QUICK_SIZES : FULL_SIZES
  const firstRound = isQuick ? 1 : 0
  const violations: string[] = []
  const dimensions: DimensionSummary[] = []
  for (const dimension of createDimensions(system, sizes)) dimensions.push(await measureDimension(dimension))
  return { summary: { rounds, dimensions }, violations }

  async function measureDimension(dimension: Dimension): Promise<DimensionSummary> {
    const { name, title, what, points } = dimension
    const costs = new Map<number, Cost[]>(points.map((point) => [point, []]))
    try {
      const setups = await steps.step(`Sales for: ${title}`, async () => {
        const made = new Map<number, Setup>()
        for (const point of points) made.set(point, await dimension.prepare(point, rounds + 1))
        return made
      })
      const measure = () => measureInTurn(dimension, setups, costs)
      await (dimension.isWarmerStopped ? system.withoutWarmer(measure) : measure())
      await steps.step(`The auditor, on: ${title}`, async (note) => {
        const found: string[] = []
        for (const { saleIds, told } of setups.values())
          found.push(...(await loads.violationsOf(saleIds, told)))
        violations.push(...found)
        note(`${found.length} violations`)
      })
    } finally {
      await dimension.end?.()
    }
    const summaries = points.map((point) => summarizePoint(point, costs.get(point) ?? []))
    return { name, title, what, points: summaries, verdict: judge(summaries) }
  }

  /** The points take turns, so that what the machine does besides is in all of them. The first turn makes hot. */
  async function measureInTurn(
    { title }: Dimension,
    setups: Map<number, Setup>,
    costs: Map<number, Cost[]>,
  ): Promise<void> {
    const undos: (() => Promise<void>)[] = []
    for (const [point, { fill }] of setups) {
      if (!fill) continue
      undos.push(await steps.step(`Filling in ${point.toLocaleString('en')}`, fill))
    }
    for (let round = firstRound; round <= rounds; round += 1) {
      for (const [at, [point, setup]] of [...setups].entries()) {
        const turn = round === 0 ? 'Warm-up' : `Round ${round} of ${rounds}`
        await steps.step(`${turn}: ${point.toLocaleString('en')} ${title}`, async (note) => {
          // Nobody buys twice in one sale, and nobody comes again before the api has forgotten their session.
          const slice = (round + at) % Math.max(setups.size, rounds + 1)
          const cost = await measurePoint(setup, round, slice)
          if (round > 0) costs.get(point)?.push(cost)
          const apiUs = cost.apiCpuUs?.toFixed(0) ?? '–'
          note(`api ${apiUs} µs, Redis ${cost.redisCpuUs.toFixed(1)} µs a purchase`)
        })
      }
    }
    for (const undo of undos) await undo()
  }

  async function measurePoint(setup: Setup, round: number, slice: number): Promise<Cost> {
    const { apis, connections, requests, told } = setup
    const saleIds = setup.saleIdsOf(round)
    const buyers = await loads.sliceOfShoppers(slice, requests)
    const saleOf = (at: number): number =>
      (setup.order === 'in turn'
        ? saleIds[at % saleIds.length]
        : saleIds[Math.floor((at * saleIds.length) / requests)]) as number
    const tokens = await makeTokens(buyers, saleOf)
    const before = await readRedisFigures(stores.redis)
    const measurement = await loads.load(
      {
        origins: apis.map(({ origin }) => origin),
        pids: apis.map(({ pid }) => pid),
        paths: buyers.map((_, at) => purchasePath(saleOf(at))),
        connections,
        expected: ['202'],
      },
      buyers,
      tokens,
    )
    for (const saleId of saleIds) await untilSettled(saleId, setup.filledLedger)
    const after = await readRedisFigures(stores.redis)
    const { accepted, unknown } = toldOf(measurement)
    told.accepted += accepted
    told.unknown += unknown
    for (const status of Object.keys(measurement.statuses)) {
      if (!['202', '503'].includes(status)) violations.push(`scale: unexpected answers of ${status}`)
    }
    const { serverCpuUsPerRequest } = measurement
    return {
      // What refusals cost is in the price of a purchase: else many of them would make it look cheap.
      apiCpuUs: serverCpuUsPerRequest && (serverCpuUsPerRequest * requests) / accepted,
      redisCpuUs: (after.cpuUs - before.cpuUs) / accepted,
      measurement,
      apiBytes: sumOfKnown(apis.map(({ pid }) => residentBytes(pid))),
      redisBytes: after.residentBytes,
    }
  }

  async function makeTokens(buyers: readonly Shopper[], saleOf: (at: number) => number): Promise<string[]> {
    const placesOf = new Map<number, number[]>()
    for (const at of buyers.keys()) placesOf.set(saleOf(at), [...(placesOf.get(saleOf(at)) ?? []), at])
    const tokens: string[] = []
    for (const [saleId, places] of placesOf) {
      const made = await system.makeTokens(
        saleId,
        places.map((at) => buyers[at]?.userId as number),
      )
      for (const [which, at] of places.entries()) tokens[at] = made[which] as string
    }
    return tokens
  }

  async function untilSettled(saleId: number, filledLedger: number): Promise<void> {
    await until(
      `every order of sale ${saleId} is settled`,
      async () => (await stores.redis.hlen(stockKeys(saleId).unsettled)) === filledLedger,
      { withinMs: PLACED_WITHIN_MS, signal },
    )
  }
}

function summarizePoint(point: number, costs: readonly Cost[]): PointSummary {
  const latenciesMs = sortedTogether(costs.map(({ measurement }) => measurement.latenciesMs))
  const statuses: Record<string, number> = {}
  for (const { measurement } of costs) addCounts(statuses, measurement.statuses)
  const totals = costs.map(({ apiCpuUs, redisCpuUs }) => (apiCpuUs ?? Number.NaN) + redisCpuUs)
  return {
    point,
    requestsPerSecond: median(costs.map(({ measurement }) => measurement.requestsPerSecond)),
    p50Ms: percentile(latenciesMs, 50),
    p99Ms: percentile(latenciesMs, 99),
    apiCpuUs: medianOfKnown(costs.map(({ apiCpuUs }) => apiCpuUs)),
    redisCpuUs: median(costs.map(({ redisCpuUs }) => redisCpuUs)),
    cpuUs: median(totals),
    cpuUsRange: [Math.min(...totals), Math.max(...totals)],
    apiBytes: costs.at(-1)?.apiBytes,
    redisBytes: costs.at(-1)?.redisBytes,
    statuses,
  }
}

function sumOfKnown(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined)
  return known.length === values.length ? known.reduce((sum, value) => sum + value, 0) : undefined
}
