import { Worker } from 'node:worker_threads'

import type { Argon2 } from './password.ts'

// workers/ sits beside both src/ and dist/, so one path serves source and build.
const WORKER = new URL('../../workers/argon2.mjs', import.meta.url)

export interface HashWorkers extends Argon2 {
  close(): Promise<void>
}

interface Answer {
  id: number
  result?: string | boolean
  error?: unknown
}

interface Job {
  resolve(result: never): void
  reject(error: unknown): void
}

/**
 * Threads that hash passwords, so many at the same time.
 *
 * Of their own rather than libuv's, which have the priority of the event loop: a hash there takes the core from it for
 * milliseconds at a time, and purchases wait.
 */
export function createHashWorkers(count: number): HashWorkers {
  const workers = Array.from({ length: count }, createHashWorker)
  const idlest = () => workers.reduce((best, worker) => (worker.jobCount() < best.jobCount() ? worker : best))

  return {
    hash: (password, options) => idlest().run<string>({ password, options }),
    verify: (passwordHash, password) => idlest().run<boolean>({ passwordHash, password }),
    async close() {
      await Promise.all(workers.map((worker) => worker.close()))
    },
  }
}

function createHashWorker() {
  const jobs = new Map<number, Job>()
  let lastId = 0
  let worker: Worker | undefined

  function start(): Worker {
    const started = new Worker(WORKER)
    // A process whose work is done may end.
    started.unref()
    started.on('message', ({ id, result, error }: Answer) => {
      const job = jobs.get(id)
      jobs.delete(id)
      if (error === undefined) job?.resolve(result as never)
      else job?.reject(error)
    })
    // The next job gets a new one.
    const lose = (error: unknown): void => {
      if (worker !== started) return
      worker = undefined
      for (const job of jobs.values()) job.reject(error)
      jobs.clear()
    }
    started.on('error', lose)
    started.on('exit', (code) => lose(new Error(`the thread that hashes passwords ended (${code})`)))
    return started
  }

  return {
    jobCount: () => jobs.size,
    run<T extends string | boolean>(work: object): Promise<T> {
      worker ??= start()
      lastId += 1
      const id = lastId
      const answer = new Promise<T>((resolve, reject) => jobs.set(id, { resolve, reject }))
      worker.postMessage({ id, ...work })
      return answer
    },
    async close() {
      await worker?.terminate()
    },
  }
}
