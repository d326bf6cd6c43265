import { setTimeout as pause } from 'node:timers/promises'

import type { CrashPoint } from '@blitzbuy/core/crash-point'

import type { StoreName } from '../../scripts/stores/store.ts'
import {
  blockPublishers,
  changeSale,
  crashAt,
  cutOff,
  deleteQueue,
  killProcess,
  killStore,
  loseLastSecond,
  makeMysqlReadOnly,
  poisonLink,
  provokeDeadlocks,
  restartProcess,
  stopProcess,
  stopStore,
  useUpConnections,
} from './faults.ts'
import type { FaultProcess } from './processes.ts'
import type { Random } from './random.ts'
import type { FaultSystem } from './system.ts'
import type { TrialContext } from './trial.ts'

/** One fault of a random run: what it is and how it is done. */
export interface NemesisStep {
  label: string
  /** Faults that meet while they last. */
  faults: { label: string; run(context: TrialContext): Promise<unknown> }[]
  pauseMs: number
}

type FaultMaker = (random: Random) => { label: string; run(context: TrialContext): Promise<unknown> }

const API_POINTS: CrashPoint[] = [
  'after-reserve',
  'after-publish',
  'after-confirm',
  'after-cancel-commit',
  'after-pay-commit',
]
const WORKER_POINTS: CrashPoint[] = ['before-commit', 'after-commit', 'after-settle', 'after-expire-commit']
const WARMER_POINTS: CrashPoint[] = ['before-create', 'after-create', 'mid-adopt', 'before-open']
const STORES: StoreName[] = ['mysql', 'redis', 'rabbitmq']

/** The fault of a process: its place in the list, so that the seed alone decides. */
function anyProcess(random: Random): { name: string; find: (system: FaultSystem) => FaultProcess } {
  const kind = random.pick(['apis', 'workers', 'warmers'] as const)
  const at = random.between(0, 1)
  return { name: `${kind.slice(0, -1)}-${at + 1}`, find: (system) => system[kind][at] as FaultProcess }
}

const losesData = (context: TrialContext): void => context.allow({ redisLostData: true })
const apiDies = (context: TrialContext, name: string): void => {
  if (name.startsWith('api')) context.allow({ apiDied: true })
}

const MAKERS: FaultMaker[] = [
  (random) => {
    const { name, find } = anyProcess(random)
    const awayMs = random.between(100, 2_500)
    return {
      label: `kill -9 ${name}, away ${awayMs} ms`,
      run: (context) => {
        apiDies(context, name)
        return killProcess(find(context.system), awayMs)
      },
    }
  },
  (random) => {
    const { name, find } = anyProcess(random)
    const signal = random.pick(['SIGTERM', 'SIGINT'] as const)
    return {
      label: `${signal} ${name}, started again`,
      run: ({ system }) => restartProcess(find(system), signal),
    }
  },
  (random) => {
    const { name, find } = anyProcess(random)
    const forMs = random.between(300, 6_000)
    return { label: `SIGSTOP ${name} for ${forMs} ms`, run: ({ system }) => stopProcess(find(system), forMs) }
  },
  (random) => {
    const at = random.between(0, 1)
    const point = random.pick(API_POINTS)
    const pass = random.between(1, 12)
    return {
      label: `api-${at + 1} dies ${point}:${pass}`,
      run: (context) => {
        context.allow({ apiDied: true })
        return crashAt(context.system.apis[at] as FaultProcess, point, { pass, withinMs: 6_000 })
      },
    }
  },
  (random) => {
    const at = random.between(0, 1)
    const point = random.pick(WORKER_POINTS)
    const pass = random.between(1, 8)
    return {
      label: `worker-${at + 1} dies ${point}:${pass}`,
      run: ({ system }) => crashAt(system.workers[at] as FaultProcess, point, { pass, withinMs: 6_000 }),
    }
  },
  (random) => {
    const at = random.between(0, 1)
    const point = random.pick(WARMER_POINTS)
    return {
      label: `Redis emptied, warmer-${at + 1} dies ${point}`,
      run: async (context) => {
        const { system } = context
        losesData(context)
        const dying = crashAt(system.warmers[at] as FaultProcess, point, { withinMs: 12_000 })
        await pause(1_500)
        await system.redis.flushall().catch(() => undefined)
        await dying
      },
    }
  },
  (random) => {
    const store = random.pick(STORES)
    const awayMs = random.between(200, 5_000)
    return {
      label: `kill -9 ${store}, away ${awayMs} ms`,
      run: ({ system }) => killStore(system.stores[store], awayMs),
    }
  },
  (random) => {
    const store = random.pick(STORES)
    const forMs = random.between(500, 8_000)
    return {
      label: `SIGSTOP ${store} for ${forMs} ms`,
      run: ({ system }) => stopStore(system.stores[store], forMs),
    }
  },
  () => ({
    label: 'Redis emptied',
    run: (context) => {
      losesData(context)
      return context.system.redis.flushall()
    },
  }),
  () => ({
    label: 'Redis loses its last second',
    run: (context) => {
      losesData(context)
      return loseLastSecond(context.system)
    },
  }),
  () => ({ label: 'scripts flushed', run: ({ system }) => system.redis.script('FLUSH') }),
  () => ({
    label: 'queue deleted',
    run: ({ system, allow }) => {
      allow({ queueDeleted: true })
      return deleteQueue(system)
    },
  }),
  (random) => {
    const forMs = random.between(1_000, 5_000)
    return {
      label: `publishers blocked for ${forMs} ms`,
      run: ({ system }) => blockPublishers(system, forMs),
    }
  },
  (random) => {
    const forMs = random.between(1_000, 5_000)
    return { label: `MySQL read-only for ${forMs} ms`, run: ({ system }) => makeMysqlReadOnly(system, forMs) }
  },
  (random) => {
    const forMs = random.between(1_000, 4_000)
    return {
      label: `MySQL’s connections used up for ${forMs} ms`,
      run: ({ system }) => useUpConnections(system, forMs),
    }
  },
  (random) => {
    const forMs = random.between(2_000, 5_000)
    return {
      label: `deadlocks for ${forMs} ms`,
      run: ({ system, saleId }) => provokeDeadlocks(system, saleId, forMs),
    }
  },
  (random) => {
    const { name, find } = anyProcess(random)
    const store = random.pick(STORES)
    const latencyMs = random.between(20, 700)
    const forMs = random.between(1_000, 5_000)
    return {
      label: `${name} to ${store}: ${latencyMs} ms later, for ${forMs} ms`,
      run: ({ system }) => poisonLink(find(system), store, { latencyMs }, forMs),
    }
  },
  (random) => {
    const { name, find } = anyProcess(random)
    const store = random.pick(STORES)
    const cutAfterBytes = random.between(1, 4_000)
    const forMs = random.between(500, 3_000)
    return {
      label: `${name} to ${store}: cut after ${cutAfterBytes} bytes, for ${forMs} ms`,
      run: ({ system }) => poisonLink(find(system), store, { cutAfterBytes }, forMs),
    }
  },
  (random) => {
    const { name, find } = anyProcess(random)
    const store = random.pick(STORES)
    const direction = random.pick(['up', 'down'] as const)
    const forMs = random.between(1_000, 7_000)
    return {
      label: `${name} to ${store}: nothing goes ${direction} for ${forMs} ms`,
      run: ({ system }) => poisonLink(find(system), store, { blackhole: [direction] }, forMs),
    }
  },
  (random) => {
    const { name, find } = anyProcess(random)
    const store = random.pick(STORES)
    return {
      label: `${name} to ${store}: reset`,
      run: async ({ system }) => find(system).links[store].reset(),
    }
  },
  (random) => {
    const { name, find } = anyProcess(random)
    const store = random.pick(STORES)
    const forMs = random.between(500, 5_000)
    return {
      label: `${name} to ${store}: down for ${forMs} ms`,
      run: ({ system }) => cutOff(find(system), store, forMs),
    }
  },
  (random) => {
    const units = random.between(-30, 30)
    const isToldByUs = random.chance(0.5)
    return {
      label: `quota ${units > 0 ? '+' : ''}${units}${isToldByUs ? '' : ', Redis not told'}`,
      run: ({ system, saleId, allow }) => {
        allow({ quotaLowered: true })
        return changeSale(
          system,
          saleId,
          ({ quota, unitsSold }) => ({ quota: Math.max(unitsSold, 1, quota + units) }),
          isToldByUs,
        )
      },
    }
  },
  (random) => {
    const forMs = random.between(500, 3_000)
    return {
      label: `paused for ${forMs} ms`,
      run: async ({ system, saleId }) => {
        await changeSale(system, saleId, { state: 'paused' })
        await pause(forMs)
        await changeSale(system, saleId, { state: 'scheduled' })
      },
    }
  },
]

/** As many faults as fit into the time, decided by the seed alone. */
export function planNemesis(random: Random, count: number): NemesisStep[] {
  return Array.from({ length: count }, () => {
    const faults = [random.pick(MAKERS)(random)]
    if (random.chance(0.3)) faults.push(random.pick(MAKERS)(random))
    const pauseMs = random.between(200, 2_000)
    return { label: faults.map((fault) => fault.label).join(' + '), faults, pauseMs }
  })
}

/** A fault that finds its victim gone already (two of them may meet) has nothing left to do. */
export async function runNemesis(
  context: TrialContext,
  steps: readonly NemesisStep[],
  { untilMs, say }: { untilMs: number; say: (label: string) => void },
): Promise<number> {
  let done = 0
  for (const step of steps) {
    if (performance.now() > untilMs) break
    say(step.label)
    await Promise.allSettled(step.faults.map((fault) => fault.run(context)))
    await context.system.heal()
    await endLeftovers(context)
    await pause(step.pauseMs)
    done += 1
  }
  return done
}

/** What a fault that failed half-way may have left behind. */
async function endLeftovers({ system, saleId }: TrialContext): Promise<void> {
  await system.asMysqlRoot('SET GLOBAL read_only = OFF', 'SET GLOBAL max_connections = 300')
  const sale = await system.sales.find(saleId).catch(() => undefined)
  if (sale?.state === 'paused')
    await changeSale(system, saleId, { state: 'scheduled' }).catch(() => undefined)
}
