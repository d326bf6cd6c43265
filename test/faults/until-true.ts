import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

/** Asks again and again until the answer is yes; a question that fails counts as no. */
export async function untilTrue(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  withinMs: number,
  everyMs = 100,
): Promise<void> {
  const deadlineMs = performance.now() + withinMs
  let cause: unknown
  for (;;) {
    try {
      if (await isTrue()) return
    } catch (error) {
      cause = error
    }
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${withinMs / 1000} s`, { cause })
    await pause(everyMs)
  }
}
