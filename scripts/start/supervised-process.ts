import { spawn } from 'node:child_process'
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

import { StepFailed } from '../steps.mjs'
import { endRecorded, type ProcessRecord } from '../stores/process-record.ts'
import { createProcessOutput } from './process-output.ts'
import { createRestartRule } from './restart-rule.ts'

const READY_WITHIN_MS = 60_000
const STOP_GRACE_MS = 5000

export interface ProcessPlan {
  name: string
  args: string[]
  env: NodeJS.ProcessEnv
  readyUrl: string
}

export interface SupervisedProcess {
  readonly name: string
  start(): void
  /** Resolves when it says that it is ready for the first time. */
  untilReady(signal: AbortSignal): Promise<void>
  stop(): Promise<void>
}

/** Keeps one process running until it is stopped, or until it has shown that it cannot run. */
export function createSupervisedProcess(
  { name, args, env, readyUrl }: ProcessPlan,
  {
    record,
    say,
    onGivenUp,
  }: { record: ProcessRecord; say: (line: string) => void; onGivenUp: (error: StepFailed) => void },
): SupervisedProcess {
  const afterDeath = createRestartRule()
  const output = createProcessOutput(name, say)
  let timer: NodeJS.Timeout | undefined
  let stopping = false
  let failure: StepFailed | undefined

  const start = () => {
    const startedMs = performance.now()
    // A session of its own: the terminal's Ctrl-C is for us to pass on, in order.
    const child = spawn(process.execPath, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    if (child.pid !== undefined) record.add(name, child.pid)
    for (const stream of [child.stdout, child.stderr])
      createInterface(stream).on('line', (line) => output.take(line))
    let ended = false
    const end = (reason: string) => {
      if (ended || stopping) return
      ended = true
      died(reason, performance.now() - startedMs)
    }
    child.on('error', (error) => end(error.message))
    // Not `exit`: the last thing a dying process says is often why.
    child.on('close', (code, signal) => end(signal ?? `exit status ${code}`))
  }

  const died = (reason: string, livedMs: number) => {
    const decision = afterDeath(livedMs)
    switch (decision.kind) {
      case 'restart':
        say(`  ! ${name} ended (${reason}); it is started again in ${decision.afterMs / 1000} s`)
        timer = setTimeout(start, decision.afterMs)
        return
      case 'give-up': {
        const words = output.lastLines().map((line) => `    ${line}`)
        failure = new StepFailed(
          `${name} ended five times within seconds of its start (${reason}). Its last words:\n\n${words.join('\n')}`,
        )
        onGivenUp(failure)
      }
    }
  }

  return {
    name,
    start,
    async untilReady(signal) {
      const startedMs = performance.now()
      while (!(await isReady(readyUrl))) {
        signal.throwIfAborted()
        if (failure) throw failure
        if (performance.now() - startedMs > READY_WITHIN_MS) {
          throw new StepFailed(`${name} is not ready after ${READY_WITHIN_MS / 1000} s (${readyUrl})`)
        }
        await sleep(100)
      }
    },
    async stop() {
      stopping = true
      clearTimeout(timer)
      await endRecorded(record, name, STOP_GRACE_MS)
    },
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}
