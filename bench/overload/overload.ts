import type { Steps } from '../../scripts/steps.mjs'
import type { PurchaseLoads } from '../purchase-loads.ts'
import type { BenchSystem } from '../system.ts'
import { WANTED, type CrowdKind, type CrowdResult, type CrowdWork, type KindResult } from './crowd-work.ts'

/** So many times the people it can serve at its peak. */
export const OVERLOAD = 10
/** Fewer people than the one with the best goodput will do when they bring that much of it. */
const AS_GOOD = 0.95
/** Who buys at once, in a second, at the very most. */
const BUYERS_PER_SECOND_MAX = 4_000
const PHONES = 500

export interface OverloadOptions {
  /** Numbers of people among which the peak is looked for. */
  people: readonly number[]
  secondsOfPeak: number
  secondsOfOverload: number
}

export interface CrowdSummary {
  people: number
  isPatient: boolean
  countedSeconds: number
  ownDelayMs: number
  goodputPerSecond: number
  kinds: Record<CrowdKind, KindResult>
  /** 99 % of all refusals came within. */
  refusedP99Ms: number
}

export interface OverloadSummary {
  peaks: CrowdSummary[]
  peak: CrowdSummary
  /** Who is refused waits as long as they are told. */
  overload: CrowdSummary
  /** Nobody waits. */
  impatient: CrowdSummary
}

export async function measureOverload(
  system: BenchSystem,
  loads: PurchaseLoads,
  options: OverloadOptions & { steps: Steps; signal: AbortSignal },
): Promise<{ summary: OverloadSummary; violations: string[] }> {
  const { steps, secondsOfPeak, secondsOfOverload } = options
  const { maker, origins } = system
  const violations: string[] = []
  const phones = (await maker.makeAll(PHONES)).map(({ phone }) => phone)
  let purchasesPerSecond = BUYERS_PER_SECOND_MAX

  const peaks: CrowdSummary[] = []
  // The first one makes hot.
  for (const people of [options.people[0] ?? 1, ...options.people]) {
    peaks.push(await come(people, secondsOfPeak, true))
  }
  peaks.shift()
  const most = Math.max(...peaks.map(({ goodputPerSecond }) => goodputPerSecond))
  const peak = peaks.find(({ goodputPerSecond }) => goodputPerSecond >= most * AS_GOOD) as CrowdSummary
  const overload = await come(peak.people * OVERLOAD, secondsOfOverload, true)
  const impatient = await come(peak.people * OVERLOAD, secondsOfOverload, false)
  return { summary: { peaks, peak, overload, impatient }, violations }

  async function come(people: number, seconds: number, isPatient: boolean): Promise<CrowdSummary> {
    const title = `${people} people at once${isPatient ? '' : ', none of whom waits'}`
    return steps.step(title, async (note) => {
      const count = Math.ceil(purchasesPerSecond * seconds) + people
      const saleId = await system.addSale(count)
      const shoppers = await loads.oldOrNewShoppers(count)
      const tokens = await system.makeTokens(
        saleId,
        shoppers.map(({ userId }) => userId),
      )
      const work: CrowdWork = {
        origins: [origins.api],
        saleId,
        people,
        forMs: seconds * 1000,
        settleMs: (seconds * 1000) / 3,
        isPatient,
        buyers: shoppers.map(({ userId, cookie }, at) => ({ userId, cookie, token: tokens[at] as string })),
        phones,
        password: maker.password,
      }
      const result = await system.askProgram<CrowdWork, CrowdResult>('overload/crowd.ts', work)
      await loads.untilAtRest(saleId, Date.now())
      const accepted = result.purchases.filter(({ status }) => status === 202).length
      const unknown = result.purchases.filter(({ status }) => status === 0 || status === 503).length
      violations.push(...(await loads.violationsOf([saleId], { accepted, unknown })))
      if (result.isShortOfBuyers) throw new Error(`${count} buyers were too few for ${people} people`)
      const summary = summarizeCrowd(result, people, isPatient)
      note(`${Math.round(summary.goodputPerSecond).toLocaleString('en')} good answers/s`)
      return summary
    })
  }
}

export function summarizeCrowd(result: CrowdResult, people: number, isPatient: boolean): CrowdSummary {
  const { kinds, countedMs, ownDelayMs } = result
  const good = WANTED.reduce((sum, kind) => sum + kinds[kind].good, 0)
  return {
    people,
    isPatient,
    countedSeconds: countedMs / 1000,
    ownDelayMs,
    goodputPerSecond: (good / countedMs) * 1000,
    kinds,
    refusedP99Ms: Math.max(
      ...Object.values(kinds)
        .filter(({ refused }) => refused > 0)
        .map(({ refusedLatencyMs }) => refusedLatencyMs.p99),
    ),
  }
}

/** What part of those who asked for it were refused. */
export function shareShed({ good, refused }: KindResult): number {
  return good + refused === 0 ? 0 : refused / (good + refused)
}
