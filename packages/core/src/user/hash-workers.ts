import { createJobThread, type JobThread } from '../job-thread.ts'
import type { Argon2 } from './password.ts'

export interface HashWorkers extends Argon2 {
  close(): Promise<void>
}

/**
 * Threads that hash passwords, so many at the same time.
 *
 * Of their own rather than libuv's, which have the priority of the event loop: a hash there takes the core from it for
 * milliseconds at a time, and purchases wait.
 */
export function createHashWorkers(count: number): HashWorkers {
  const threads: JobThread<object, unknown>[] = Array.from({ length: count }, () =>
    createJobThread('argon2.mjs'),
  )
  const runOnIdlest = <Result>(work: object): Promise<Result> =>
    threads
      .reduce((best, thread) => (thread.jobCount() < best.jobCount() ? thread : best))
      .run(work) as Promise<Result>

  return {
    hash: (password, options) => runOnIdlest<string>({ password, options }),
    verify: (passwordHash, password) => runOnIdlest<boolean>({ passwordHash, password }),
    async close() {
      await Promise.all(threads.map((thread) => thread.close()))
    },
  }
}
