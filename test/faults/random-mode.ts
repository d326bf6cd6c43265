import { performance } from 'node:perf_hooks'

import { planNemesis, runNemesis } from './nemesis.ts'
import { createRandom } from './random.ts'
import type { FaultSystem } from './system.ts'
import { runTrial } from './trial.ts'

/** A sale is broken for so long, then comes to rest and is audited; then the next one. */
const SALE_MS = 75_000
const STEPS_PER_SALE = 40

export interface RandomResult {
  faults: number
  sales: number
  calls: number
  looks: number
  violations: string[]
}

/** Random faults for that long, decided by the seed alone; violations name the sale's own seed. */
export async function runRandomMode(
  system: FaultSystem,
  options: { seed: number; seconds: number; slackMs?: number; say: (line: string) => void },
): Promise<RandomResult> {
  const { seed, seconds, slackMs = 0, say } = options
  const result: RandomResult = { faults: 0, sales: 0, calls: 0, looks: 0, violations: [] }
  for (let leftMs = seconds * 1000; leftMs > 1_000;) {
    const saleSeed = seed + result.sales
    const steps = planNemesis(createRandom(saleSeed), STEPS_PER_SALE)
    const trial = await runTrial(system, {
      seed: saleSeed,
      slackMs,
      async breakThings(context) {
        const beganMs = performance.now()
        const untilMs = beganMs + Math.min(SALE_MS, leftMs)
        result.faults += await runNemesis(context, steps, { untilMs, say })
        leftMs -= performance.now() - beganMs
      },
    })
    result.sales += 1
    result.calls += trial.calls
    result.looks += trial.looks
    result.violations.push(...trial.violations.map((violation) => `seed ${saleSeed}: ${violation}`))
    say(`sale ${result.sales}: ${trial.calls} calls, ${trial.violations.length} violations`)
    for (const violation of trial.violations) say(`  ${violation}`)
  }
  return result
}
