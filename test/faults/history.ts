import { performance } from 'node:perf_hooks'

/** One call of a shopper, as the shopper saw it. `unknown`: it may have succeeded, or may still. */
export interface Call {
  at: string
  kind: 'buy' | 'read' | 'pay' | 'cancel'
  userId: number
  saleId: number
  beganMs: number
  tookMs: number
  outcome: 'ok' | 'refused' | 'unknown'
  status: number
  code?: string | undefined
  orderId?: string | undefined
  state?: string | undefined
  reason?: string | undefined
  handoff?: string | undefined
}

/** How a process ended that was told to. */
export interface Ending {
  name: string
  signal: 'SIGTERM' | 'SIGINT'
  tookMs: number
  code: number | null
}

/** A message or reservation that no worker can place, and who came with it. */
export interface Poison {
  saleId: number
  /** The order that must be rejected; none when the body says nothing of it. */
  badOrderId?: string
  neighbourIds: readonly string[]
}

export interface History {
  readonly calls: readonly Call[]
  readonly endings: readonly Ending[]
  readonly poisons: readonly Poison[]
  add(call: Call): void
  ended(ending: Ending): void
  poisoned(poison: Poison): void
  /** Processes that ended although nobody told them to. */
  readonly deaths: readonly string[]
  diedBySelf(name: string, code: number, lastWords: string): void
  /** From here until `calm` nobody can expect an answer of this process. */
  disturb(name: string): void
  calm(name: string): void
  wasDisturbed(name: string, fromMs: number, toMs: number): boolean
  /** How long this machine did not even let us look at the clock in that time. */
  stalledMs(fromMs: number, toMs: number): number
  close(): void
}

const TICK_MS = 25
const STALL_MS = 50

export function createHistory(): History {
  const calls: Call[] = []
  const endings: Ending[] = []
  const poisons: Poison[] = []
  const deaths: string[] = []
  const disturbances: { name: string; fromMs: number; toMs: number }[] = []
  const stalls: { fromMs: number; toMs: number }[] = []

  let lastMs = performance.now()
  const timer = setInterval(() => {
    const nowMs = performance.now()
    if (nowMs - lastMs > TICK_MS + STALL_MS) stalls.push({ fromMs: lastMs, toMs: nowMs })
    lastMs = nowMs
  }, TICK_MS)
  timer.unref()

  const open = (name: string) =>
    disturbances.find((one) => one.name === name && one.toMs === Number.POSITIVE_INFINITY)

  return {
    calls,
    endings,
    poisons,
    deaths,
    diedBySelf: (name, code, lastWords) =>
      void deaths.push(`${name} ended by itself (${code}): ${lastWords}`),
    add: (call) => void calls.push(call),
    ended: (ending) => void endings.push(ending),
    poisoned: (poison) => void poisons.push(poison),
    disturb(name) {
      if (!open(name)) {
        disturbances.push({ name, fromMs: performance.now(), toMs: Number.POSITIVE_INFINITY })
      }
    },
    calm(name) {
      const standing = open(name)
      if (standing) standing.toMs = performance.now()
    },
    wasDisturbed: (name, fromMs, toMs) =>
      disturbances.some((one) => one.name === name && one.fromMs < toMs && one.toMs > fromMs),
    stalledMs: (fromMs, toMs) =>
      stalls
        .map((stall) => Math.min(stall.toMs, toMs) - Math.max(stall.fromMs, fromMs))
        .reduce((sum, overlap) => sum + Math.max(0, overlap), 0),
    close: () => clearInterval(timer),
  }
}

/** Codes of a 503 that say: nothing was taken. */
const NOTHING_TAKEN = new Set(['dependency-unavailable', 'overloaded', 'sale-warming', 'draining'])

export function outcomeOf(status: number, code: string | undefined): Call['outcome'] {
  if (status >= 200 && status < 300) return 'ok'
  if (status >= 400 && status < 500) return 'refused'
  return status === 503 && NOTHING_TAKEN.has(code ?? '') ? 'refused' : 'unknown'
}
