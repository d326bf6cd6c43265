import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'

import { ConfigInvalid } from './errors.ts'

export interface RunningProcess {
  log: Logger
  /** Finishes what was begun and ends every connection. */
  close(): Promise<void>
}

const CLOSE_MS = 9_000

/**
 * Starts a process and ends it gracefully at SIGTERM, SIGINT or SIGHUP, in less than ten seconds.
 *
 * A bad configuration is told in one message, without a stack: it is for a person, who reads it once.
 */
export async function runProcess(name: string, start: () => Promise<RunningProcess>): Promise<void> {
  let running: RunningProcess
  try {
    running = await start()
  } catch (error) {
    if (!(error instanceof ConfigInvalid)) throw error
    process.stderr.write(`${name}: ${error.message}\n`)
    process.exit(1)
  }
  const { log } = running
  log.info({ pid: process.pid }, 'started')
  closeWithGrace({ delay: CLOSE_MS, logger: false }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'ending after an unexpected error')
    else log.info({ signal }, 'ending')
    await running.close()
  })
}
