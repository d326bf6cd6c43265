import { performance } from 'node:perf_hooks'

import { StepFailed, type Steps } from '../../scripts/steps.mjs'
import { cpuTimeUs } from '../process-figures.ts'
import {
  countRows,
  cpuUsPer,
  PLACED_WITHIN_MS,
  purchasePath,
  REQUESTS_MAX,
  toldOf,
  type PurchaseLoads,
  type Target,
} from '../purchase-loads.ts'
import type { BenchSystem } from '../system.ts'
import { until } from '../until.ts'
import { insertRawRows, readPlacing } from './placing.ts'
import {
  EXPECTED_STATUS,
  isBaseline,
  type Baseline,
  type Measurement,
  type Placing,
  type Scenario,
} from './scenarios.ts'
import { summarizeComparison, type ComparisonSummary, type Measured } from './summarize-comparison.ts'

/** Rounds that are not counted: the first tells about how much a second can take, in the second the code gets hot. */
const WARM_UPS = 2
const FIRST_REQUESTS = 2_000
/** A connection's first request tells no latency: it waits until all are open. */
const PER_CONNECTION_MIN = 3
/** One textbook way takes a hundred a second, the others some thousand. */
const FIRST_REQUESTS_OF_TEXTBOOK = 200
/** More would wait behind the lock for longer than a request may take. */
export const CONNECTIONS_OF_TEXTBOOK = 20
const WARM_UP_SECONDS = 2
/** An api believes its copy of a session for five seconds: in this time all must have been here twice. */
const WARM_SESSIONS_SECONDS = 1.5
const SCARCE_UNITS = 100
/** A true word under load, counted as no success: the event loop was late, or the outcome is not known. */
const BUSY = '503'

export interface CompareOptions {
  seconds: number
  rounds: number
  connections: number
  /** Few requests: about the invariants, not the figures. */
  isQuick: boolean
  /** Those to measure; `bare` is always among them. */
  scenarios: readonly Scenario[]
  /** Shoppers who want the units of the scarce sale; 0: nobody does. */
  crowd: number
  steps: Steps
  signal: AbortSignal
}

/** Every scenario in turn, in every round, so that their ratios say something; and the rush for a few units. */
export async function compare(
  system: BenchSystem,
  loads: PurchaseLoads,
  { seconds, rounds, connections, isQuick, crowd, scenarios, steps, signal }: CompareOptions,
): Promise<{ summary: ComparisonSummary; violations: string[] }> {
  const { stores, origins, pids } = system
  const measured = Object.fromEntries(scenarios.map((name) => [name, []])) as unknown as Measured
  const violations: string[] = []
  const api = { origins: [origins.api], pids: [pids.api], connections }
  const soldOutSaleId = await steps.step('A sale that is sold out', sellOut)

  const requestsOf = new Map<Scenario, number>()
  for (let round = isQuick ? 1 : 1 - WARM_UPS; round <= rounds; round += 1) {
    for (const scenario of scenarios) {
      const title = `${round > 0 ? `Round ${round} of ${rounds}` : 'Warm-up'}: ${scenario}`
      const measurement = await steps.step(title, async (note) => {
        const first = isBaseline(scenario)
          ? FIRST_REQUESTS_OF_TEXTBOOK
          : Math.max(FIRST_REQUESTS, connections * PER_CONNECTION_MIN)
        const result = await measure(scenario, requestsOf.get(scenario) ?? first)
        note(brief(result))
        return result
      })
      if (round > 0) measured[scenario]?.push(measurement)
      const nextSeconds = round < 0 ? Math.min(seconds, WARM_UP_SECONDS) : seconds
      const countedSeconds = scenario === 'buy' ? Math.min(nextSeconds, WARM_SESSIONS_SECONDS) : nextSeconds
      const wanted = Math.round(measurement.requestsPerSecond * countedSeconds)
      const fewest = isBaseline(scenario) ? CONNECTIONS_OF_TEXTBOOK : connections * PER_CONNECTION_MIN
      requestsOf.set(scenario, Math.min(REQUESTS_MAX, Math.max(fewest, wanted)))
    }
  }
  const scarce =
    crowd === 0
      ? undefined
      : await steps.step(`${crowd} shoppers for ${SCARCE_UNITS} units`, async (note) => {
          const result = await rush()
          note(brief(result))
          return result
        })
  const rawRowsPerSecond = await steps.step('Rows as fast as MySQL takes them', async (note) => {
    const rate = await insertRawRows(stores.mysql)
    note(`${Math.round(rate).toLocaleString('en')} rows/s`)
    return rate
  })
  return { summary: summarizeComparison({ measured, scarce, rawRowsPerSecond }), violations }

  async function measure(scenario: Scenario, requests: number): Promise<Measurement> {
    const measurement = await measureOnce(scenario, requests)
    violations.push(...unexpectedAnswers(scenario, measurement))
    return measurement
  }

  async function measureOnce(scenario: Scenario, requests: number): Promise<Measurement> {
    const expected = [EXPECTED_STATUS[scenario]]
    switch (scenario) {
      case 'bare': {
        const bare = { ...api, origins: [origins.bare], pids: [pids.bare], expected }
        return loads.purchases(bare, soldOutSaleId, await loads.oldOrNewShoppers(requests))
      }
      case 'sold-out':
        return loads.purchases({ ...api, expected }, soldOutSaleId, await loads.oldOrNewShoppers(requests))
      case 'buy':
        return buy(requests, { areSessionsLocal: true, isWorkerStopped: true })
      case 'buy-cold':
        return buy(requests, { areSessionsLocal: false, isWorkerStopped: true })
      case 'buy-placing':
        return buy(requests, { areSessionsLocal: false, isWorkerStopped: false })
      case 'browse': {
        const list: Target = { ...api, expected, method: 'GET', paths: ['/api/v1/sales'] }
        return loads.load(list, await loads.oldOrNewShoppers(requests), [])
      }
      default:
        return buyByTheBook(scenario, requests)
    }
  }

  async function buy(
    requests: number,
    { areSessionsLocal, isWorkerStopped }: { areSessionsLocal: boolean; isWorkerStopped: boolean },
  ): Promise<Measurement> {
    const saleId = await system.addSale(requests)
    // Shoppers who have bought nothing yet, and of whom the api has no session in its memory.
    const buyers = await loads.newShoppers(requests)
    if (isWorkerStopped) await system.stopWorker()
    const target = { ...api, expected: ['202'] }
    // Without a token they are refused, after their session was read.
    if (areSessionsLocal) await loads.load({ ...target, paths: [purchasePath(saleId)] }, buyers, [])
    const workerCpuBefore = isWorkerStopped ? 0 : cpuTimeUs(pids.worker())
    const measurement = await loads.purchases(target, saleId, buyers)
    if (isWorkerStopped) await system.startWorker()
    const beganAtMs = isWorkerStopped
      ? performance.timeOrigin + performance.now()
      : measurement.lastAnswerAtMs
    const untilAtRestMs = await loads.untilAtRest(saleId, beganAtMs)
    const told = toldOf(measurement)
    violations.push(...(await loads.violationsOf([saleId], told)))
    const placing: Placing = {
      untilAtRestMs,
      workerCpuUsPerOrder: cpuUsPer(told.accepted, workerCpuBefore, cpuTimeUs(pids.worker())),
      ...(await readPlacing(stores.mysql, saleId)),
    }
    return { ...measurement, placing }
  }

  async function buyByTheBook(way: Baseline, requests: number): Promise<Measurement> {
    const saleId = await system.addTextbookSale(requests)
    const buyers = await loads.oldOrNewShoppers(requests)
    const textbook: Target = {
      origins: [origins.textbook],
      pids: [pids.textbook],
      paths: [`/${way}/sales/${saleId}/orders`],
      connections: CONNECTIONS_OF_TEXTBOOK,
      expected: ['202'],
    }
    const measurement = await loads.load(textbook, buyers, [])
    const { accepted } = toldOf(measurement)
    const countOrders = () => countRows(stores, 'textbook_orders', saleId)
    await until(`every order of ${way} is a row`, async () => (await countOrders()) >= accepted, {
      withinMs: PLACED_WITHIN_MS,
      signal,
    })
    const orders = await countOrders()
    if (orders > requests) violations.push(`${way}: ${orders} orders of ${requests} units`)
    return measurement
  }

  /** Everybody at once for a few units: the time until all know, and nobody too many. */
  async function rush(): Promise<Measurement> {
    const saleId = await system.addSale(SCARCE_UNITS)
    const buyers = await loads.newShoppers(crowd)
    const measurement = await loads.purchases({ ...api, expected: ['202', '409'] }, saleId, buyers)
    await loads.untilAtRest(saleId, measurement.lastAnswerAtMs)
    const told = toldOf(measurement)
    violations.push(...(await loads.violationsOf([saleId], told)))
    if (told.accepted > SCARCE_UNITS)
      violations.push(`scarce: ${told.accepted} answers of 202 for ${SCARCE_UNITS} units`)
    for (const status of Object.keys(measurement.statuses)) {
      if (!['202', '409', BUSY].includes(status)) violations.push(`scarce: answers of ${status}`)
    }
    return measurement
  }

  /** A sale of one unit, and a shopper who has bought it. */
  async function sellOut(): Promise<number> {
    const saleId = await system.addSale(1)
    // Not one of those who come later: they would be answered with their order.
    const [buyer] = await system.maker.makeAll(1)
    const [token = ''] = await system.makeTokens(saleId, buyer ? [buyer.userId] : [])
    const answer = await fetch(`${origins.api}${purchasePath(saleId)}`, {
      method: 'POST',
      headers: { cookie: buyer?.cookie ?? '', 'x-purchase-token': token },
    })
    if (answer.status !== 202) {
      throw new StepFailed(`the first purchase was answered ${answer.status} ${await answer.text()}`)
    }
    await loads.untilAtRest(saleId, Date.now())
    return saleId
  }
}

function unexpectedAnswers(scenario: Scenario, { statuses, unanswered }: Measurement): string[] {
  const allowed = [EXPECTED_STATUS[scenario], BUSY]
  const found = Object.entries(statuses).filter(([status]) => !allowed.includes(status))
  const violations = found.map(([status, count]) => `${scenario}: ${count} unexpected answers of ${status}`)
  return unanswered === 0
    ? violations
    : [...violations, `${scenario}: ${unanswered} requests without an answer`]
}

function brief({ requestsPerSecond, placing }: Measurement): string {
  const rate = `${Math.round(requestsPerSecond).toLocaleString('en')} requests/s`
  return placing ? `${rate}, all placed within ${(placing.untilAtRestMs / 1000).toFixed(1)} s` : rate
}
