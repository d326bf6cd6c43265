import { setTimeout as pause } from 'node:timers/promises'

import { askProgram } from '../../../bench/load/ask.ts'
import { WANTED, type CrowdResult, type CrowdWork } from '../../../bench/overload/crowd-work.ts'
import { outcomeOf } from '../history.ts'
import type { FaultSystem } from '../system.ts'
import { createShopperCalls } from '../workload.ts'
import { row, type Row } from './row.ts'

/** At their peak both apis serve about so many; ten times as many is what must not bring them down. */
const PEOPLE = 150
const OVERLOAD = 10
const GOODPUT_MIN = 0.9
const REFUSED_WITHIN_MS = 1_000
/** Much more than is bought: that a sale is sold out is quickly said, and would be no overload. */
const QUOTA = 60_000
/** Who buys at both apis in a second, at the very most. */
const BUYERS_PER_SECOND_MAX = 1_200
const PEAK_MS = 6_000
const OVERLOAD_MS = 12_000
/** Who came is gone, and so is what they left. */
const BETWEEN_MS = 2_000

/** Goodput in the overload is compared with the peak of the same run: no machine's speed is judged. */
export const overloadRow: Row = row({
  name: 'overload',
  what: 'api',
  fault: `${OVERLOAD} × the people that are served at the peak, each waiting as long as a refusal says`,
  when: 'peak',
  holds: `I1–I6; goodput ≥ ${GOODPUT_MIN * 100} % of the peak in the same run, refusals within ${REFUSED_WITHIN_MS / 1000} s`,
  atOnce: 0,
  sale: { quota: QUOTA, paymentWindowSeconds: 45 },
  async breakThings({ system, saleId, demand }) {
    // What has never run is slow.
    await come(system, saleId, PEOPLE, PEAK_MS)
    const peak = await come(system, saleId, PEOPLE, PEAK_MS)
    await pause(BETWEEN_MS)
    const overload = await come(system, saleId, PEOPLE * OVERLOAD, OVERLOAD_MS)
    const ratio = overload.goodputPerSecond / peak.goodputPerSecond
    demand(
      ratio >= GOODPUT_MIN,
      `goodput fell to ${Math.round(ratio * 100)} % of its peak (${Math.round(overload.goodputPerSecond)} of ` +
        `${Math.round(peak.goodputPerSecond)} good answers/s)`,
    )
    demand(
      !(overload.refusedP99Ms > REFUSED_WITHIN_MS),
      `1 % of the refusals took longer than ${Math.round(overload.refusedP99Ms)} ms`,
    )
    for (const api of system.apis) demand(api.isRunning(), `${api.name} died of the load`)
  },
})

async function come(
  system: FaultSystem,
  saleId: number,
  people: number,
  forMs: number,
): Promise<{ goodputPerSecond: number; refusedP99Ms: number }> {
  const calls = createShopperCalls(system)
  const shoppers = await system.makeShoppers(people + (BUYERS_PER_SECOND_MAX * forMs) / 1_000)
  const work: CrowdWork = {
    origins: system.apis.map(({ origin }) => origin),
    saleId,
    people,
    forMs,
    settleMs: forMs / 3,
    isPatient: true,
    buyers: shoppers.map(({ userId, cookie }) => ({
      userId,
      cookie,
      token: calls.makeToken(saleId, userId),
    })),
    // Their password is the maker's: nobody logs in here.
    phones: [],
    password: '',
  }
  const result = await askProgram<CrowdWork, CrowdResult>('overload/crowd.ts', work, {
    signal: AbortSignal.timeout(forMs + 60_000),
  })
  if (result.isShortOfBuyers) throw new Error(`${shoppers.length} buyers were too few for ${people} people`)
  for (const { userId, status, code, orderId, handoff, at, tookMs, origin } of result.purchases) {
    const beganMs = at - performance.timeOrigin
    const outcome = outcomeOf(status, code)
    const api = system.apis.find((one) => one.origin === origin)
    system.history.add({
      at: api?.name ?? origin,
      kind: 'buy',
      userId,
      saleId,
      beganMs,
      tookMs,
      outcome,
      status,
      code,
      orderId,
      handoff,
    })
  }
  const good = WANTED.reduce((sum, kind) => sum + result.kinds[kind].good, 0)
  return {
    goodputPerSecond: (good / result.countedMs) * 1000,
    refusedP99Ms: Math.max(
      0,
      ...Object.values(result.kinds).flatMap(({ refused, refusedLatencyMs }) =>
        refused > 0 ? [refusedLatencyMs.p99] : [],
      ),
    ),
  }
}
