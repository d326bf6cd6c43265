import type { Steps } from '../../scripts/steps.mjs'
import { cpuTimeUs, mainThreadCpuUs } from '../process-figures.ts'
import { cpuUsPer, purchasePath, type PurchaseLoads } from '../purchase-loads.ts'
import { addCounts } from '../report/section.ts'
import { median } from '../summary.ts'
import type { BenchSystem } from '../system.ts'

/** What a shopper asks for, and what is measured of it. */
export const GATE_STEPS = ['bare', 'gate', 'puzzle', 'picture', 'login'] as const
export type GateStep = (typeof GATE_STEPS)[number]

export interface GateOptions {
  rounds: number
  purchases: number
  /** No more than the pool has pictures: beyond it is measured how fast they are drawn. */
  pictures: number
  logins: number
  /** Whether the pool of pictures is let fill up between two steps, which takes the longest by far. */
  settles: boolean
}

export interface GateFigures {
  /** Of the whole process. */
  cpuUs: number
  /** Of the thread that answers: without what hashes, draws and collects garbage beside it. */
  mainThreadUs: number
  /** Until the answer, as the shopper sees it. */
  p50Ms: number
  statuses: Record<string, number>
}

export interface GateSummary extends GateOptions {
  steps: Record<GateStep, GateFigures>
}

/** Longer than this takes, and near enough for its stock to be in Redis and its checks to be given out. */
const OPENS_AFTER_MS = 5 * 60_000
const CONNECTIONS = 100
const EXPECTED: Record<GateStep, string> = {
  bare: '202',
  gate: '409',
  puzzle: '201',
  picture: '201',
  login: '200',
}

/**
 * What the gate costs, next to a route that does nothing.
 *
 * A purchase before the opening goes through all of the gate (blacklist, limits, session, purchase token) and no further.
 * A human check with a puzzle for the browser is all that one with a picture is, except the picture.
 */
export async function measureGate(
  system: BenchSystem,
  loads: PurchaseLoads,
  { steps, signal, ...options }: GateOptions & { steps: Steps; signal: AbortSignal },
): Promise<{ summary: GateSummary; violations: string[] }> {
  const { maker, origins, pids } = system
  const { rounds, purchases, pictures, logins, settles } = options
  const saleId = await system.addSale(purchases, new Date(Date.now() + OPENS_AFTER_MS))
  const buyers = await loads.newShoppers(purchases)
  const tokens = await system.makeTokens(
    saleId,
    buyers.map(({ userId }) => userId),
  )
  // Others: who logs in again and again ends their own oldest sessions.
  const owners = await loads.newShoppers(logins)

  const loadOf = (step: GateStep) => {
    const isBare = step === 'bare'
    const people = {
      bare: buyers,
      gate: buyers,
      // Others than those of the pictures: each may ask for ten challenges a minute.
      puzzle: buyers.slice(-pictures),
      picture: buyers.slice(0, pictures),
      login: owners,
    }[step]
    const path = {
      bare: purchasePath(saleId),
      gate: purchasePath(saleId),
      puzzle: `/api/v1/sales/${saleId}/captchas`,
      picture: `/api/v1/sales/${saleId}/captchas`,
      login: '/api/v1/auth/login',
    }[step]
    const bodies = {
      bare: undefined,
      gate: undefined,
      puzzle: people.map(() => '{"kind":"work"}'),
      picture: people.map(() => '{"kind":"image"}'),
      login: people.map(({ phone }) => JSON.stringify({ phone, password: maker.password })),
    }[step]
    return {
      people,
      pid: isBare ? pids.bare : pids.api,
      target: {
        origins: [isBare ? origins.bare : origins.api],
        pids: [isBare ? pids.bare : pids.api],
        paths: [path],
        // One after the other: who logs in waits for a hash, not for others.
        connections: step === 'login' ? 1 : CONNECTIONS,
        expected: [EXPECTED[step]],
        // Both make no trip, so no store wants the core that a generator takes which never sleeps.
        isAwake: isBare || step === 'gate',
        ...(bodies && { bodies }),
      },
    }
  }

  const taken = new Map<GateStep, GateFigures[]>(GATE_STEPS.map((step) => [step, []]))
  const violations: string[] = []
  // In the first round the code gets hot.
  for (let round = 0; round <= rounds; round += 1) {
    await steps.step(
      round === 0 ? 'The gate: warm-up' : `The gate: round ${round} of ${rounds}`,
      async (note) => {
        for (const step of GATE_STEPS) {
          signal.throwIfAborted()
          const { target, people, pid } = loadOf(step)
          if (settles) await system.untilPicturesDrawn()
          // An api believes its copy of a session for a few seconds.
          if (step === 'gate') await loads.load(target, people, tokens)
          const before = { all: cpuTimeUs(pid), main: mainThreadCpuUs(pid) }
          const { statuses, latenciesMs } = await loads.load(target, people, tokens)
          const figures = {
            cpuUs: cpuUsPer(people.length, before.all, cpuTimeUs(pid)) ?? NaN,
            mainThreadUs: cpuUsPer(people.length, before.main, mainThreadCpuUs(pid)) ?? NaN,
            p50Ms: median([...latenciesMs]),
            statuses,
          }
          if (round > 0) taken.get(step)?.push(figures)
          const odd = Object.keys(statuses).filter((status) => status !== EXPECTED[step] && status !== '503')
          for (const status of odd) violations.push(`gate: ${step} was answered ${status}`)
          if (step === 'gate') note(`${Math.round(figures.cpuUs)} µs of CPU a purchase`)
        }
      },
    )
  }

  const summarize = (step: GateStep): GateFigures => {
    const all = taken.get(step) ?? []
    const statuses: Record<string, number> = {}
    for (const figures of all) addCounts(statuses, figures.statuses)
    const of = (field: 'cpuUs' | 'mainThreadUs' | 'p50Ms') => median(all.map((figures) => figures[field]))
    return { cpuUs: of('cpuUs'), mainThreadUs: of('mainThreadUs'), p50Ms: of('p50Ms'), statuses }
  }
  return {
    summary: {
      ...options,
      steps: Object.fromEntries(GATE_STEPS.map((step) => [step, summarize(step)])) as GateSummary['steps'],
    },
    violations,
  }
}
