import { performance } from 'node:perf_hooks'

import { StepFailed } from '../steps.mjs'
import { storeNames, type StoreName, type Stores } from '../stores/store.ts'
import { createRestartRule } from './restart-rule.ts'

const LOOK_EVERY_MS = 1000

/**
 * Starts a store again that has died, by the rule that holds for the processes too.
 *
 * They are looked at rather than waited for: one that was taken over from a killed start is not our child.
 */
export function watchStores(
  stores: Stores,
  say: (line: string) => void,
  onGivenUp: (error: StepFailed) => void,
): () => void {
  const stops = storeNames.filter((name) => stores[name].pid !== undefined).map((name) => watch(name))
  return () => stops.forEach((stop) => stop())

  function watch(name: StoreName): () => void {
    const afterDeath = createRestartRule()
    let startedMs = performance.now()
    let stopped = false
    let timer: NodeJS.Timeout

    const look = () => {
      if (stopped) return
      if (stores[name].isAlive()) return again(look, LOOK_EVERY_MS)
      const decision = afterDeath(performance.now() - startedMs)
      switch (decision.kind) {
        case 'restart':
          say(`  ! ${name} ended; it is started again in ${decision.afterMs / 1000} s`)
          return again(restart, decision.afterMs)
        case 'give-up':
          return onGivenUp(new StepFailed(`${name} ended five times within seconds of its start`))
      }
    }
    const restart = () => {
      startedMs = performance.now()
      // A start that fails leaves it dead, which the next look counts.
      void stores[name]
        .start()
        .catch((error: Error) => say(`  ! ${error.message}`))
        .finally(() => !stopped && again(look, LOOK_EVERY_MS))
    }
    const again = (work: () => void, afterMs: number) => {
      timer = setTimeout(work, afterMs)
    }

    again(look, LOOK_EVERY_MS)
    return () => {
      stopped = true
      clearTimeout(timer)
    }
  }
}
