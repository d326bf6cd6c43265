import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

import type { RowDataPacket } from 'mysql2/promise'

import type { Shopper } from '../scripts/blitz/make-shoppers.ts'
import { StepFailed, type Steps } from '../scripts/steps.mjs'
import { makeTemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { audit, isAtRest } from '../test/audit.ts'
import { cpuTimeUs } from './cpu-time.ts'
import type { Load } from './load.ts'
import { insertRawRows, readPlacing } from './placing.ts'
import { formatReport, summarize, type BenchSummary, type Measured } from './report.ts'
import {
  EXPECTED_STATUS,
  isBaseline,
  type Baseline,
  type Measurement,
  type Placing,
  type Scenario,
} from './scenarios.ts'
import { startSystem, type BenchSystem } from './system.ts'
import { until } from './until.ts'
import { writeReport } from './write-report.ts'

export interface BenchOptions {
  seconds: number
  rounds: number
  connections: number
  /** Few requests: about the invariants, not the figures. */
  isQuick: boolean
  /** Shoppers who want the units of the scarce sale. */
  crowd: number
  /** Those to measure; `bare` is always among them. */
  scenarios: readonly Scenario[]
  reportFolder: string | undefined
  profileFolder: string | undefined
  steps: Steps
  signal: AbortSignal
}

/** Rounds that are not counted: the first tells about how much a second can take, in the second the code gets hot. */
const WARM_UPS = 2
const FIRST_REQUESTS = 2_000
/** A connection's first request tells no latency: it waits until all are open. */
const PER_CONNECTION_MIN = 3
/** One textbook way takes a hundred a second, the others some thousand. */
const FIRST_REQUESTS_OF_TEXTBOOK = 200
/** More would wait behind the lock for longer than a request may take. */
const CONNECTIONS_OF_TEXTBOOK = 20
const WARM_UP_SECONDS = 2
/** An api believes its copy of a session for five seconds: in this time all must have been here twice. */
const WARM_SESSIONS_SECONDS = 1.5
/** However fast the machine and long the round: a bench is no attack. */
const REQUESTS_MAX = 300_000
const PLACED_WITHIN_MS = 120_000
/** Between two measurements, for what the last one left behind. */
const QUIET_MS = 300
const SCARCE_UNITS = 100

/** @returns whether every invariant holds; the figures are printed either way. */
export async function runBench(options: BenchOptions): Promise<boolean> {
  const { steps, reportFolder } = options
  const folder = await makeTemporaryFolder()
  const deaths = new AbortController()
  const signal = AbortSignal.any([options.signal, deaths.signal])
  const stops: (() => Promise<void>)[] = []
  let summary: BenchSummary
  try {
    const system = await startSystem({
      folder: folder.path,
      profileFolder: options.profileFolder,
      steps,
      signal,
      onDeath: (error) => deaths.abort(error),
      onStop: (stop) => void stops.unshift(stop),
    })
    summary = await measureAll(system, { ...options, signal })
  } finally {
    await steps.step('Stopping', async () => {
      for (const stop of stops) await stop()
      await folder.remove()
    })
  }
  for (const line of formatReport(summary, options)) steps.say(line)
  if (reportFolder !== undefined) writeReport(reportFolder, summary, options)
  return summary.violations.length === 0
}

async function measureAll(
  system: BenchSystem,
  { seconds, rounds, connections, isQuick, crowd, scenarios, steps, signal }: BenchOptions,
): Promise<BenchSummary> {
  const { stores, origins, pids, maker } = system
  const measured = Object.fromEntries(scenarios.map((name) => [name, []])) as unknown as Measured
  const violations: string[] = []
  const shoppers: Shopper[] = []
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
  const scarce = await steps.step(`${crowd} shoppers for ${SCARCE_UNITS} units`, async (note) => {
    const result = await rush()
    note(brief(result))
    return result
  })
  const rawRowsPerSecond = await steps.step('Rows as fast as MySQL takes them', async (note) => {
    const rate = await insertRawRows(stores.mysql)
    note(`${Math.round(rate).toLocaleString('en')} rows/s`)
    return rate
  })
  return summarize({ measured, scarce, rawRowsPerSecond, violations, apiWarnings: system.apiWarnings() })

  async function measure(scenario: Scenario, requests: number): Promise<Measurement> {
    const measurement = await measureOnce(scenario, requests)
    violations.push(...unexpectedAnswers(scenario, measurement))
    return measurement
  }

  async function measureOnce(scenario: Scenario, requests: number): Promise<Measurement> {
    switch (scenario) {
      case 'bare':
        return purchases(origins.bare, pids.bare, soldOutSaleId, await oldOrNewShoppers(requests))
      case 'sold-out':
        return purchases(origins.api, pids.api, soldOutSaleId, await oldOrNewShoppers(requests))
      case 'buy':
        return buy(requests, { areSessionsLocal: true, isWorkerStopped: true })
      case 'buy-cold':
        return buy(requests, { areSessionsLocal: false, isWorkerStopped: true })
      case 'buy-placing':
        return buy(requests, { areSessionsLocal: false, isWorkerStopped: false })
      case 'browse':
        return browse(requests)
      default:
        return buyByTheBook(scenario, requests)
    }
  }

  async function buy(
    requests: number,
    { areSessionsLocal, isWorkerStopped }: { areSessionsLocal: boolean; isWorkerStopped: boolean },
  ): Promise<Measurement> {
    const saleId = await system.addOpenSale(requests)
    // Shoppers who have bought nothing yet, and of whom the api has no session in its memory.
    const buyers = await newShoppers(requests)
    if (isWorkerStopped) await system.stopWorker()
    // Without a token they are refused, after their session was read.
    if (areSessionsLocal) await load(origins.api, pids.api, saleId, buyers, () => '')
    const workerCpuBefore = isWorkerStopped ? 0 : cpuTimeUs(pids.worker())
    const measurement = await purchases(origins.api, pids.api, saleId, buyers)
    if (isWorkerStopped) await system.startWorker()
    const beganAtMs = isWorkerStopped
      ? performance.timeOrigin + performance.now()
      : measurement.lastAnswerAtMs
    const untilAtRestMs = await untilAtRest(saleId, beganAtMs)
    const accepted = measurement.statuses['202'] ?? 0
    violations.push(...(await violationsOf(saleId, accepted, measurement)))
    const placing: Placing = {
      untilAtRestMs,
      workerCpuUsPerOrder: cpuUsPer(accepted, workerCpuBefore, cpuTimeUs(pids.worker())),
      ...(await readPlacing(stores.mysql, saleId)),
    }
    return { ...measurement, placing }
  }

  async function browse(requests: number): Promise<Measurement> {
    const visitors = await oldOrNewShoppers(requests)
    return load(origins.api, pids.api, soldOutSaleId, visitors, () => '', {
      method: 'GET',
      url: `${origins.api}/api/v1/sales`,
    })
  }

  async function buyByTheBook(way: Baseline, requests: number): Promise<Measurement> {
    const saleId = await system.addTextbookSale(requests)
    const buyers = await oldOrNewShoppers(requests)
    const measurement = await load(origins.textbook, pids.textbook, saleId, buyers, () => '', {
      url: `${origins.textbook}/${way}/sales/${saleId}/orders`,
      connections: CONNECTIONS_OF_TEXTBOOK,
    })
    const accepted = measurement.statuses['202'] ?? 0
    await until(`every order of ${way} is a row`, async () => (await countTextbook(saleId)) >= accepted, {
      withinMs: PLACED_WITHIN_MS,
      signal,
    })
    const orders = await countTextbook(saleId)
    if (orders > requests) violations.push(`${way}: ${orders} orders of ${requests} units`)
    return measurement
  }

  async function countTextbook(saleId: number): Promise<number> {
    const [[row]] = await stores.mysql.use(({ connection }) =>
      connection.query<(RowDataPacket & { orders: number })[]>(
        'SELECT COUNT(*) AS orders FROM textbook_orders WHERE sale_id = ?',
        [saleId],
      ),
    )
    return row?.orders ?? 0
  }

  /** Everybody at once for a few units: the time until all know, and nobody too many. */
  async function rush(): Promise<Measurement> {
    const saleId = await system.addOpenSale(SCARCE_UNITS)
    const buyers = await newShoppers(crowd)
    const measurement = await purchases(origins.api, pids.api, saleId, buyers)
    await untilAtRest(saleId, measurement.lastAnswerAtMs)
    const accepted = measurement.statuses['202'] ?? 0
    violations.push(...(await violationsOf(saleId, accepted, measurement)))
    if (accepted > SCARCE_UNITS)
      violations.push(`scarce: ${accepted} answers of 202 for ${SCARCE_UNITS} units`)
    for (const status of Object.keys(measurement.statuses)) {
      if (!['202', '409', BUSY].includes(status)) violations.push(`scarce: answers of ${status}`)
    }
    return measurement
  }

  async function purchases(origin: string, pid: number, saleId: number, buyers: Shopper[]) {
    const tokens = await system.makeTokens(
      saleId,
      buyers.map(({ userId }) => userId),
    )
    return load(origin, pid, saleId, buyers, (at) => tokens[at] ?? '')
  }

  async function load(
    origin: string,
    pid: number,
    saleId: number,
    buyers: Shopper[],
    tokenOf: (at: number) => string,
    changes: Partial<Load> = {},
  ) {
    signal.throwIfAborted()
    await pause(QUIET_MS)
    const cpuBefore = cpuTimeUs(pid)
    const result = await system.generate({
      url: `${origin}/api/v1/sales/${saleId}/orders`,
      method: 'POST',
      cookies: buyers.map(({ cookie }) => cookie),
      tokens: buyers.map((_buyer, at) => tokenOf(at)),
      connections: Math.min(connections, buyers.length),
      ...changes,
    })
    const serverCpuUsPerRequest = cpuUsPer(buyers.length, cpuBefore, cpuTimeUs(pid))
    const { elapsedMs, ...figures } = result
    const answered = buyers.length - result.unanswered
    return {
      ...figures,
      requests: buyers.length,
      requestsPerSecond: (answered / elapsedMs) * 1000,
      serverCpuUsPerRequest,
    }
  }

  async function newShoppers(count: number): Promise<Shopper[]> {
    const made: Shopper[] = []
    for await (const batch of maker.makeShoppers(count)) {
      signal.throwIfAborted()
      made.push(...batch)
    }
    for (const shopper of made) shoppers.push(shopper)
    return made
  }

  /** No shopper twice in one load, but the ones of an earlier load will do. */
  async function oldOrNewShoppers(count: number): Promise<Shopper[]> {
    if (shoppers.length < count) await newShoppers(count - shoppers.length)
    return shoppers.slice(-count)
  }

  /** A sale of one unit, and a shopper who has bought it. */
  async function sellOut(): Promise<number> {
    const saleId = await system.addOpenSale(1)
    // Not one of those who come later: they would be answered with their order.
    const [buyer] = await maker.makeAll(1)
    const [token = ''] = await system.makeTokens(saleId, buyer ? [buyer.userId] : [])
    const answer = await fetch(`${origins.api}/api/v1/sales/${saleId}/orders`, {
      method: 'POST',
      headers: { cookie: buyer?.cookie ?? '', 'x-purchase-token': token },
    })
    if (answer.status !== 202) {
      throw new StepFailed(`the first purchase was answered ${answer.status} ${await answer.text()}`)
    }
    await untilAtRest(saleId, Date.now())
    return saleId
  }

  /** @returns how long after the last answer it was. */
  async function untilAtRest(saleId: number, lastAnswerAtMs: number): Promise<number> {
    const bounds = { withinMs: PLACED_WITHIN_MS, everyMs: 20, signal }
    await until(`every order of sale ${saleId} is placed`, () => isAtRest(stores, saleId), bounds)
    return Math.max(0, performance.timeOrigin + performance.now() - lastAnswerAtMs)
  }

  async function violationsOf(saleId: number, accepted: number, measurement: Measurement): Promise<string[]> {
    const found = await audit(stores, saleId)
    const [[row]] = await stores.mysql.use(({ connection }) =>
      connection.query<(RowDataPacket & { orders: number })[]>(
        'SELECT COUNT(*) AS orders FROM orders WHERE sale_id = ?',
        [saleId],
      ),
    )
    const orders = row?.orders ?? 0
    // An order without a 202 needs a request whose outcome its shopper was not told.
    const unknown = measurement.unanswered + (measurement.statuses['503'] ?? 0)
    if (orders < accepted) found.push(`I4: ${accepted} answers of 202, but only ${orders} orders`)
    if (orders > accepted + unknown)
      found.push(`I5: ${orders} orders, but ${accepted} answers of 202 and ${unknown} unknown`)
    return found.map((violation) => `sale ${saleId}: ${violation}`)
  }
}

function cpuUsPer(count: number, before: number | undefined, after: number | undefined): number | undefined {
  return before === undefined || after === undefined || count === 0 ? undefined : (after - before) / count
}

/** A true word under load, counted as no success: the event loop was late, or the outcome is not known. */
const BUSY = '503'

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
