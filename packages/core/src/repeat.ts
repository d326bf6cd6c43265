import type { Logger } from 'pino'

export interface Repeating {
  /** Resolves when a run in progress has finished. */
  close(): Promise<void>
}

/** Runs `step` again and again, `everyMs` after its last run ended; one that fails is logged and tried next time. */
export function repeat(name: string, everyMs: number, step: () => Promise<unknown>, log: Logger): Repeating {
  let timer: NodeJS.Timeout | undefined
  let closing = false
  let running: Promise<void> = Promise.resolve()
  let failures = 0

  const run = async (): Promise<void> => {
    try {
      await step()
      if (failures > 0) log.info({ step: name, failures }, 'works again')
      failures = 0
    } catch (error) {
      // Once per outage, not once a second.
      if (failures === 0) log.warn({ err: error, step: name }, 'failed; trying again')
      failures += 1
    }
    if (!closing) timer = setTimeout(start, everyMs)
  }
  const start = (): void => {
    running = run()
  }
  start()

  return {
    async close() {
      closing = true
      clearTimeout(timer)
      await running
    },
  }
}
