import { writeFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

import type { RowDataPacket } from 'mysql2/promise'

import type { Shopper } from '../scripts/blitz/make-shoppers.ts'
import { StepFailed, type Steps } from '../scripts/steps.mjs'
import { makeTemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { audit, isAtRest } from '../test/audit.ts'
import { cpuTimeUs } from './cpu-time.ts'
import { formatReport, summarize, type BenchSummary } from './report.ts'
import { SCENARIOS, type Measurement, type Placing, type Scenario } from './scenarios.ts'
import { startSystem, type BenchSystem } from './system.ts'
import { until } from './until.ts'

export interface BenchOptions {
  seconds: number
  rounds: number
  connections: number
  jsonFile: string | undefined
  profileFolder: string | undefined
  steps: Steps
  signal: AbortSignal
}

/** Rounds that are not counted: the first tells about how much a second can take, in the second the code gets hot. */
const WARM_UPS = 2
const FIRST_REQUESTS = 3_000
const WARM_UP_SECONDS = 2
/** However fast the machine and long the round: a bench is no attack. */
const REQUESTS_MAX = 300_000
const PLACED_WITHIN_MS = 60_000
/** Between two measurements, for what the last one left behind. */
const QUIET_MS = 300

/** @returns whether every invariant holds; the figures are printed either way. */
export async function runBench(options: BenchOptions): Promise<boolean> {
  const { steps, jsonFile } = options
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
  if (jsonFile !== undefined) writeFileSync(jsonFile, `${JSON.stringify({ ...summary }, null, 2)}\n`)
  return summary.violations.length === 0
}

async function measureAll(
  system: BenchSystem,
  { seconds, rounds, connections, steps, signal }: BenchOptions,
): Promise<BenchSummary> {
  const { stores, origins, pids, maker } = system
  const measured: Record<Scenario, Measurement[]> = { bare: [], buy: [], 'sold-out': [] }
  const violations: string[] = []
  const shoppers: Shopper[] = []
  const soldOutSaleId = await steps.step('A sale that is sold out', sellOut)

  const first = Math.max(FIRST_REQUESTS, connections)
  const requestsOf: Record<Scenario, number> = { bare: first, buy: first, 'sold-out': first }
  for (let round = 1 - WARM_UPS; round <= rounds; round += 1) {
    for (const scenario of SCENARIOS) {
      const title = `${round > 0 ? `Round ${round} of ${rounds}` : 'Warm-up'}: ${scenario}`
      const measurement = await steps.step(title, async (note) => {
        const result = await measure(scenario, requestsOf[scenario])
        note(brief(result))
        return result
      })
      if (round > 0) measured[scenario].push(measurement)
      const nextSeconds = round < 0 ? Math.min(seconds, WARM_UP_SECONDS) : seconds
      const wanted = Math.round(measurement.requestsPerSecond * nextSeconds)
      requestsOf[scenario] = Math.min(REQUESTS_MAX, Math.max(connections, wanted))
    }
  }
  return summarize({ measured, violations, apiWarnings: system.apiWarnings() })

  async function measure(scenario: Scenario, requests: number): Promise<Measurement> {
    switch (scenario) {
      case 'bare':
        return load(origins.bare, pids.bare, soldOutSaleId, await oldOrNewShoppers(requests))
      case 'buy':
        return buy(requests)
      case 'sold-out':
        return load(origins.api, pids.api, soldOutSaleId, await oldOrNewShoppers(requests))
    }
  }

  async function buy(requests: number): Promise<Measurement> {
    const saleId = await system.addOpenSale(requests)
    // Shoppers who have bought nothing yet, and of whom the api has no session in its memory.
    const buyers = await newShoppers(requests)
    const workerCpuBefore = cpuTimeUs(pids.worker)
    const measurement = await load(origins.api, pids.api, saleId, buyers)
    const afterLastAnswerMs = await untilAtRest(saleId, measurement.lastAnswerAtMs)
    const accepted = measurement.statuses['202'] ?? 0
    violations.push(...(await violationsOf(saleId, accepted, measurement)))
    const placing: Placing = {
      afterLastAnswerMs,
      workerCpuUsPerOrder: cpuUsPer(accepted, workerCpuBefore, cpuTimeUs(pids.worker)),
    }
    return { ...measurement, placing }
  }

  async function load(origin: string, pid: number, saleId: number, buyers: Shopper[]) {
    signal.throwIfAborted()
    const tokens = await system.makeTokens(
      saleId,
      buyers.map(({ userId }) => userId),
    )
    await pause(QUIET_MS)
    const cpuBefore = cpuTimeUs(pid)
    const result = await system.generate({
      url: `${origin}/api/v1/sales/${saleId}/orders`,
      cookies: buyers.map(({ cookie }) => cookie),
      tokens,
      connections,
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

function brief({ requestsPerSecond, placing }: Measurement): string {
  const rate = `${Math.round(requestsPerSecond).toLocaleString('en')} requests/s`
  return placing
    ? `${rate}, all placed ${(placing.afterLastAnswerMs / 1000).toFixed(1)} s after the last answer`
    : rate
}
