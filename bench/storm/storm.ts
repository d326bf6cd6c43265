import { setTimeout as pause } from 'node:timers/promises'

import type { Steps } from '../../scripts/steps.mjs'
import { askProgram } from '../load/ask.ts'
import { purchasePath, type PurchaseLoads } from '../purchase-loads.ts'
import { addCounts } from '../report/section.ts'
import { median } from '../summary.ts'
import type { BenchSystem } from '../system.ts'
import type { SteadyPurchases, TimedPurchase } from './buy-steadily.ts'
import { giveOwnCore } from './own-core.ts'
import type { LoginStorm, StormResult } from './log-in-at-once.ts'

/**
 * Where the storm goes while purchases go to the api: to the api as well, or to the bare server, which has no such route.
 * What the second does to the purchases is what the generator of the storm and the machine do.
 */
export const STORMS = ['api', 'bare'] as const
export type StormAt = (typeof STORMS)[number]

export interface StormOptions {
  rounds: number
  logins: number
  perSecond: number
  quietMs: number
}

export interface StormFigures {
  /** Of the purchases that were due before the storm, and of those that were due while a login had no answer. */
  quietP95Ms: number
  stormyP50Ms: number
  stormyP95Ms: number
  /** Of each round, stormy next to quiet. */
  ratios: number[]
  stormMs: number
  logins: Record<string, number>
}

export interface StormSummary extends StormOptions {
  /** Else the generators, stores and workers took the api's core as well. */
  hasOwnCore: boolean
  at: Record<StormAt, StormFigures>
}

const STORM_MAX_MS = 6_000

/** What thousands of logins in one moment do to the purchases beside them. */
export async function measureStorm(
  system: BenchSystem,
  loads: PurchaseLoads,
  { steps, signal, ...options }: StormOptions & { steps: Steps; signal: AbortSignal },
): Promise<{ summary: StormSummary; violations: string[] }> {
  const { rounds, logins, perSecond, quietMs } = options
  const perStorm = Math.ceil(((2 * quietMs + STORM_MAX_MS) * perSecond) / 1_000)
  const saleId = await system.addSale(2 * (rounds + 1) * perStorm)
  const violations: string[] = []
  const taken = new Map<StormAt, { quiet: number[]; stormy: number[]; storm: StormResult }[]>(
    STORMS.map((at) => [at, []]),
  )
  let accepted = 0
  let storms = 0

  const measureOne = async (at: StormAt) => {
    const buyers = await loads.newShoppers(perStorm)
    const tokens = await system.makeTokens(
      saleId,
      buyers.map(({ userId }) => userId),
    )
    const purchases: SteadyPurchases = {
      origin: system.origins.api,
      path: purchasePath(saleId),
      perSecond,
      buyers: buyers.map(({ cookie }, index) => ({ cookie, token: tokens[index] ?? '' })),
    }
    const bought = askProgram<SteadyPurchases, TimedPurchase[]>('storm/buy-steadily.ts', purchases, {
      signal,
    })
    // The first purchases find a cold process.
    await Promise.race([pause(2 * quietMs, undefined, { signal }), bought])
    storms += 1
    const firstAccount = storms * logins
    const storm = await askProgram<LoginStorm, StormResult>(
      'storm/log-in-at-once.ts',
      { origin: system.origins[at], logins, firstAccount },
      { signal },
    )
    const timed = await bought
    const dueWithin = (fromMs: number, toMs: number): number[] =>
      timed.flatMap(([dueAtMs, tookMs]) => (dueAtMs >= fromMs && dueAtMs < toMs ? [tookMs] : []))
    const odd = timed.filter(([, , status]) => status !== '202')
    if (odd.length > 0) violations.push(`storm: a purchase was answered ${odd[0]?.[2]}`)
    accepted += timed.length - odd.length
    return {
      quiet: dueWithin(storm.beganAtMs - quietMs, storm.beganAtMs),
      stormy: dueWithin(storm.beganAtMs, storm.endedAtMs),
      storm,
    }
  }

  const endOwnCore = await giveOwnCore(system.pids.api)
  // In the first round the code gets hot.
  for (let round = 0; round <= rounds; round += 1) {
    await steps.step(
      round === 0 ? 'A storm of logins: warm-up' : `A storm of logins: round ${round} of ${rounds}`,
      async (note) => {
        for (const at of STORMS) {
          const one = await measureOne(at)
          if (round > 0) taken.get(at)?.push(one)
          if (at === 'api') note(`p95 ${percentile(one.quiet, 0.95)} → ${percentile(one.stormy, 0.95)} ms`)
        }
      },
    )
  }
  await endOwnCore?.()
  await loads.untilAtRest(saleId, performance.timeOrigin + performance.now())
  violations.push(...(await loads.violationsOf([saleId], { accepted, unknown: 0 })))

  const summarize = (at: StormAt): StormFigures => {
    const all = taken.get(at) ?? []
    const answered: Record<string, number> = {}
    for (const { storm } of all) addCounts(answered, storm.statuses)
    return {
      quietP95Ms: median(all.map(({ quiet }) => percentile(quiet, 0.95))),
      stormyP50Ms: median(all.map(({ stormy }) => percentile(stormy, 0.5))),
      stormyP95Ms: median(all.map(({ stormy }) => percentile(stormy, 0.95))),
      ratios: all.map(({ quiet, stormy }) => percentile(stormy, 0.95) / percentile(quiet, 0.95)),
      stormMs: median(all.map(({ storm }) => storm.endedAtMs - storm.beganAtMs)),
      logins: answered,
    }
  }
  const at = { api: summarize('api'), bare: summarize('bare') }
  return { summary: { ...options, hasOwnCore: endOwnCore !== undefined, at }, violations }
}

function percentile(valuesMs: readonly number[], share: number): number {
  const sortedMs = valuesMs.toSorted((a, b) => a - b)
  return Math.round((sortedMs[Math.floor(sortedMs.length * share)] ?? NaN) * 10) / 10
}
