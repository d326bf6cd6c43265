import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'

import { ConfigInvalid } from './errors.ts'
import type { HealthServer } from './health.ts'

export interface RunningProcess {
  log: Logger
  health: HealthServer
  /** Finishes what was begun and ends every connection. */
  close(): Promise<void>
}

/** PM2's `kill_timeout` and the containers' `stop_grace_period` must be longer. */
export const CLOSE_MS = 9_000

/**
 * Starts a process and ends it gracefully in less than ten seconds, whoever asks: SIGTERM (containers, systemd),
 * SIGINT (PM2, a terminal), SIGHUP, or the message `shutdown` (PM2's `shutdown_with_message`).
 *
 * Under PM2 it says `ready` when it can work, and PM2 ends its predecessor only then.
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
  const { close } = closeWithGrace({ delay: CLOSE_MS, logger: false }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'ending after an unexpected error')
    else log.info({ signal }, 'ending')
    await running.close()
  })
  if (!process.send) return
  process.on('message', (message) => {
    if (message === 'shutdown') close()
  })
  await running.health.untilReady()
  if (process.connected) process.send('ready')
}
