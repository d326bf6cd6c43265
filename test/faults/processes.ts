import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

import { root } from '../../scripts/prepare.mjs'
import { signalProcess, type ProcessRecord } from '../../scripts/stores/process-record.ts'
import type { StoreName } from '../../scripts/stores/store.ts'
import type { History } from './history.ts'
import type { Proxy } from './proxy.ts'
import { untilTrue } from './until-true.ts'

export type Role = 'api' | 'order-worker' | 'stock-warmer'

/** One of BlitzBuy's processes, from dist, that may die, stop and start again under the same name and ports. */
export interface FaultProcess {
  readonly name: string
  readonly role: Role
  readonly origin: string
  readonly healthUrl: string
  /** Its own way to each store. */
  readonly links: Record<StoreName, Proxy>
  isRunning: () => boolean
  /** By SIGSTOP, from outside or at a point where it was to stop. */
  isStopped: () => boolean
  signal: (signal: NodeJS.Signals) => void
  /** `kill -9`; resolves when it is gone. */
  kill: () => Promise<void>
  /** SIGTERM or SIGINT; the history keeps how it ended and how long that took. */
  end: (signal?: 'SIGTERM' | 'SIGINT') => Promise<void>
  /** Resolves when it has died by itself, at a crash point. */
  died: (withinMs: number) => Promise<boolean>
  start: (extra?: Record<string, string>) => Promise<void>
  isReady: () => Promise<boolean>
  untilReady: () => Promise<void>
  output: () => string
}

const READY_WITHIN_MS = 60_000
const END_WITHIN_MS = 20_000
const OUTPUT_KEPT = 200_000

export function createFaultProcess(options: {
  name: string
  role: Role
  env: Record<string, string>
  links: Record<StoreName, Proxy>
  record: ProcessRecord
  history: History
}): FaultProcess {
  const { name, role, env, links, record, history } = options
  const healthUrl = `http://127.0.0.1:${env.HEALTH_PORT}`
  let child: ChildProcess | undefined
  let output = ''
  let isExpectedToDie = false

  const isRunning = (): boolean => child !== undefined && child.exitCode === null && child.signalCode === null

  async function gone(withinMs: number): Promise<boolean> {
    const ending = child
    if (!ending || !isRunning()) return true
    const timeout = AbortSignal.timeout(withinMs)
    return once(ending, 'exit', { signal: timeout }).then(
      () => true,
      () => !isRunning(),
    )
  }

  const self: FaultProcess = {
    name,
    role,
    origin: `http://127.0.0.1:${env.PORT}`,
    healthUrl,
    links,
    isRunning,
    isStopped() {
      if (child?.pid === undefined || !isRunning()) return false
      const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
      return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T')
    },
    output: () => output,

    signal(signal) {
      if (child?.pid === undefined || !isRunning()) return
      if (signal === 'SIGSTOP') history.disturb(name)
      signalProcess(child.pid, signal)
      if (signal === 'SIGCONT') history.calm(name)
    },

    async kill() {
      history.disturb(name)
      if (child?.pid !== undefined && isRunning()) signalProcess(child.pid, 'SIGKILL')
      await gone(END_WITHIN_MS)
    },

    async end(signal = 'SIGTERM') {
      const ending = child
      if (ending?.pid === undefined || !isRunning()) return
      history.disturb(name)
      const beganMs = performance.now()
      signalProcess(ending.pid, signal)
      const isGone = await gone(END_WITHIN_MS)
      history.ended({ name, signal, tookMs: performance.now() - beganMs, code: ending.exitCode })
      if (!isGone) await self.kill()
    },

    async died(withinMs) {
      const has = await gone(withinMs)
      if (has) history.disturb(name)
      return has
    },

    async start(extra = {}) {
      if (isRunning()) return
      const started = spawn(
        process.execPath,
        ['--enable-source-maps', join(root, 'packages', role, 'dist', 'main.js')],
        {
          env: { PATH: process.env.PATH, ...env, ...extra },
          // A group of its own: a Ctrl-C is ours to pass on, in order.
          detached: true,
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      )
      child = started
      isExpectedToDie = 'CRASH_AT' in extra
      started.on('exit', (code) => {
        // A signal of ours leaves no code; SIGTERM is kept as an ending.
        if (code !== null && code !== 0 && !isExpectedToDie)
          history.diedBySelf(name, code, output.slice(-2_000))
      })
      if (started.pid !== undefined) record.add(name, started.pid)
      for (const stream of [started.stdout, started.stderr]) {
        stream?.setEncoding('utf8').on('data', (text: string) => {
          output = (output + text).slice(-OUTPUT_KEPT)
        })
      }
    },

    async isReady() {
      try {
        const answer = await fetch(`${healthUrl}/readyz`, { signal: AbortSignal.timeout(5_000) })
        await answer.arrayBuffer()
        return answer.status === 200
      } catch {
        return false
      }
    },

    async untilReady() {
      await untilTrue(
        `${name} is ready`,
        async () => {
          if (!isRunning()) await self.start()
          return self.isReady()
        },
        READY_WITHIN_MS,
      ).catch((error: Error) => {
        throw new Error(`${error.message}. Its last words:\n${output.slice(-1_500)}`, { cause: error })
      })
      history.calm(name)
    },
  }
  return self
}
