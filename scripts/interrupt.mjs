import { performance } from 'node:perf_hooks'

/** npm passes on a Ctrl-C that the terminal has delivered to us already: within this time both are one. */
const SAME_INTERRUPT_MS = 1000

/** @typedef {'SIGINT' | 'SIGTERM' | 'SIGHUP'} StopSignal */

/**
 * Turns the first SIGINT, SIGTERM or SIGHUP into an abort that every step watches; a second one ends at once.
 *
 * @param {{ atOnce?: () => void }} [options] what a second signal must still do, synchronously
 * @returns {AbortSignal}
 */
export function watchForInterrupt({ atOnce } = {}) {
  const controller = new AbortController()
  let firstMs = 0
  for (const name of /** @type {StopSignal[]} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(name, () => {
      if (!controller.signal.aborted) {
        firstMs = performance.now()
        controller.abort(new Interrupted(name))
      } else if (performance.now() - firstMs > SAME_INTERRUPT_MS) {
        atOnce?.()
        process.exit(130)
      }
    })
  }
  return controller.signal
}

/** Somebody asked us to stop. */
export class Interrupted extends Error {
  /** @param {StopSignal} signal */
  constructor(signal) {
    super(`stopped by ${signal}`)
    this.name = 'Interrupted'
  }
}
