import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

type Word<Result> =
  | { kind: 'milestone' }
  | { kind: 'result'; result: Result }
  | { kind: 'failed'; why: string }

/** In a process that was started for it: does the work that it is asked for over its channel, one after the other. */
export function answerAsks<Work, Result>(
  work: (asked: Work, tellMilestone: () => void) => Promise<Result>,
): void {
  const say = (word: Word<Result>): void => void process.send?.(word)
  // Whoever asked is gone.
  process.on('disconnect', () => process.exit())
  process.on('message', (asked: Work) => {
    work(asked, () => say({ kind: 'milestone' })).then(
      (result) => say({ kind: 'result', result }),
      (error: unknown) =>
        say({ kind: 'failed', why: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    )
  })
}

/** Asks such a process and waits for its answer. */
export function ask<Work extends object, Result>(
  child: ChildProcess,
  work: Work,
  { signal, onMilestone }: { signal: AbortSignal; onMilestone?: () => void },
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const settle = (end: () => void): void => {
      child.off('message', hear)
      signal.removeEventListener('abort', abort)
      end()
    }
    const hear = (word: Word<Result>): void => {
      if (word.kind === 'milestone') onMilestone?.()
      else if (word.kind === 'result') settle(() => resolve(word.result))
      else settle(() => reject(new Error(word.why)))
    }
    const abort = (): void => settle(() => reject(signal.reason as Error))
    signal.throwIfAborted()
    child.on('message', hear)
    signal.addEventListener('abort', abort)
    child.send(work)
  })
}

/** Starts a program of the bench for one question, and ends it when it has answered. */
export async function askProgram<Work extends object, Result>(
  file: string,
  work: Work,
  { env = {}, signal }: { env?: Record<string, string>; signal: AbortSignal },
): Promise<Result> {
  const program = fork(fileURLToPath(new URL(`../${file}`, import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    env: { PATH: process.env.PATH, ...env },
    // A group of its own: a Ctrl-C is ours to pass on, in order.
    detached: true,
    serialization: 'advanced',
  })
  const death = new Promise<never>((_resolve, reject) => {
    program.once('exit', (code) => reject(new Error(`${file} ended before it had answered (${code})`)))
  })
  try {
    return await Promise.race([ask<Work, Result>(program, work, { signal }), death])
  } finally {
    death.catch(() => undefined)
    program.kill('SIGKILL')
  }
}
