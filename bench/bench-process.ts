import { spawn, type ChildProcess } from 'node:child_process'

import { lastLines } from '../scripts/run.mjs'
import { StepFailed } from '../scripts/steps.mjs'
import { endRecorded, type ProcessRecord } from '../scripts/stores/process-record.ts'

/** A little more than the ten seconds in which every process of ours ends by itself. */
const STOP_GRACE_MS = 10_500

export interface BenchProcess {
  readonly pid: number
  readonly child: ChildProcess
  /** What it has printed so far. */
  output(): string
  stop(): Promise<void>
}

/** Starts one process that must live until it is stopped: when it dies, so does the run. */
export function startProcess(
  name: string,
  args: string[],
  env: Record<string, string>,
  { record, onDeath }: { record: ProcessRecord; onDeath: (error: StepFailed) => void },
): BenchProcess {
  let output = ''
  let isStopping = false
  const child = spawn(process.execPath, args, {
    env: { PATH: process.env.PATH, ...env },
    // A group of its own: a Ctrl-C is ours to pass on, in order.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    serialization: 'advanced',
  })
  if (child.pid === undefined) throw new StepFailed(`${name} cannot be started`)
  record.add(name, child.pid)
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  }
  child.on('close', (code, signal) => {
    if (isStopping) return
    onDeath(new StepFailed(`${name} ended (${signal ?? `exit status ${code}`}):\n\n${lastLines(output)}`))
  })

  return {
    pid: child.pid,
    child,
    output: () => output,
    async stop() {
      isStopping = true
      await endRecorded(record, name, STOP_GRACE_MS)
    },
  }
}
