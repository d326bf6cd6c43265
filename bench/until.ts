import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

import { StepFailed } from '../scripts/steps.mjs'

/** Asks again and again until the answer is yes; a question that fails counts as no. */
export async function until(
  what: string,
  isSo: () => Promise<boolean>,
  { withinMs, everyMs = 50, signal }: { withinMs: number; everyMs?: number; signal: AbortSignal },
): Promise<void> {
  const deadlineMs = performance.now() + withinMs
  let lastError: unknown
  for (;;) {
    signal.throwIfAborted()
    try {
      if (await isSo()) return
    } catch (error) {
      lastError = error
    }
    if (performance.now() > deadlineMs) {
      throw new StepFailed(`${what}: not within ${withinMs / 1000} s`, { cause: lastError })
    }
    // Not the timer's own AbortError: what is thrown must say why we stop.
    await pause(everyMs, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}
