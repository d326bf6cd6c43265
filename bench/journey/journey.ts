import type { Steps } from '../../scripts/steps.mjs'
import { auditMoney, auditWindow, isMoneyAtRest } from '../../test/audit.ts'
import { addressOf } from '../load/address-of.ts'
import type { PurchaseLoads } from '../purchase-loads.ts'
import { percentile } from '../summary.ts'
import type { BenchSystem } from '../system.ts'
import { until } from '../until.ts'
import {
  JOURNEY_STEPS,
  type JourneyResult,
  type JourneyStep,
  type JourneyWork,
  type Person,
} from './steps.ts'

/** Logging in costs a hash of 20 ms on purpose: most people have done it before. */
export const LOGIN_SHARE = 0.1
const AT_REST_WITHIN_MS = 60_000

export interface JourneyOptions {
  people: number
  /** They come over that time, and the sale opens a little after the last one. */
  arriveWithinMs: number
  payWithinMs: number
}

export interface JourneySummary extends JourneyOptions {
  steps: Record<
    JourneyStep,
    { people: number; p50: number; p95: number; p99: number; statuses: Record<string, number> }
  >
  paid: number
  elapsedMs: number
  stranded: Record<string, number>
}

/** For the last one to arrive, log in and read a picture. */
const OPENS_AFTER_MS = 3_000

/** People who do all of it, in one sale. */
export async function measureJourney(
  system: BenchSystem,
  loads: PurchaseLoads,
  {
    people: count,
    arriveWithinMs,
    payWithinMs,
    steps,
    signal,
  }: JourneyOptions & {
    steps: Steps
    signal: AbortSignal
  },
): Promise<{ summary: JourneySummary; violations: string[] }> {
  const { stores, maker, origins } = system
  const shoppers = await maker.makeAll(count)
  return steps.step(`${count} people from the page to the payment`, async (note) => {
    const opensAtMs = Date.now() + arriveWithinMs + OPENS_AFTER_MS
    const saleId = await system.addSale(count, new Date(opensAtMs))
    const people = shoppers.map(({ phone, cookie }, at): Person => {
      const logsIn = at % Math.round(1 / LOGIN_SHARE) === 0
      return {
        phone,
        address: addressOf(at + 1),
        arrivesAfterMs: (at / count) * arriveWithinMs,
        listens: at % 2 === 0,
        ...(!logsIn && { cookie }),
      }
    })
    const { password } = maker
    const work: JourneyWork = { origin: origins.api, saleId, password, opensAtMs, payWithinMs, people }
    const result = await system.askProgram<JourneyWork, JourneyResult>('journey/people.ts', work)
    await loads.untilAtRest(saleId, Date.now())
    await until('every payment is at rest', () => isMoneyAtRest(stores), {
      withinMs: AT_REST_WITHIN_MS,
      signal,
    })
    const unknown = result.steps.buy.statuses['503'] ?? 0
    const violations = [
      ...(await loads.violationsOf([saleId], { accepted: result.accepted, unknown })),
      ...(await auditWindow(stores, saleId)),
      ...(await auditMoney(stores, saleId)),
      ...Object.entries(result.stranded).map(([why, times]) => `journey: ${times} came no further, ${why}`),
    ]
    if (result.paid !== count) violations.push(`journey: ${result.paid} of ${count} people have paid`)
    note(`all paid ${(result.elapsedMs / 1000).toFixed(1)} s after the opening`)
    return { summary: { people: count, arriveWithinMs, payWithinMs, ...summarize(result) }, violations }
  })
}

function summarize({ steps, paid, elapsedMs, stranded }: JourneyResult) {
  return {
    steps: Object.fromEntries(
      JOURNEY_STEPS.map((step) => {
        const { latenciesMs, statuses } = steps[step]
        const at = (percent: number): number => percentile(latenciesMs, percent)
        return [step, { people: latenciesMs.length, p50: at(50), p95: at(95), p99: at(99), statuses }]
      }),
    ) as JourneySummary['steps'],
    paid,
    elapsedMs,
    stranded,
  }
}
