import { Worker } from 'node:worker_threads'

/** A thread that does one kind of job, one after the other. */
export interface JobThread<Work extends object, Result> {
  run(work: Work): Promise<Result>
  /** Given and not done yet. */
  jobCount(): number
  close(): Promise<void>
}

interface Answer {
  id: number
  result?: unknown
  error?: unknown
}

interface Job<Result> {
  resolve(result: Result): void
  reject(error: unknown): void
}

/**
 * What takes milliseconds of a core, beside the event loop and not on it.
 *
 * The thread starts with its first job. When it dies, its jobs fail, and the next one starts another.
 *
 * @param file of `workers/`, which sits beside both src/ and dist/, so that one path serves source and build
 */
export function createJobThread<Work extends object, Result>(file: string): JobThread<Work, Result> {
  const url = new URL(`../workers/${file}`, import.meta.url)
  const jobs = new Map<number, Job<Result>>()
  let lastId = 0
  let worker: Worker | undefined

  function start(): Worker {
    const started = new Worker(url)
    started.on('message', ({ id, result, error }: Answer) => {
      const job = jobs.get(id)
      jobs.delete(id)
      if (error === undefined) job?.resolve(result as Result)
      else job?.reject(error)
    })
    const lose = (error: unknown): void => {
      if (worker !== started) return
      worker = undefined
      for (const job of jobs.values()) job.reject(error)
      jobs.clear()
    }
    // A process whose work is done may end. After the listener for messages, which would take it back.
    started.unref()
    started.on('error', lose)
    started.on('exit', (code) => lose(new Error(`the thread of ${file} ended (${code})`)))
    return started
  }

  return {
    jobCount: () => jobs.size,
    run(work) {
      worker ??= start()
      lastId += 1
      const id = lastId
      const answer = new Promise<Result>((resolve, reject) => jobs.set(id, { resolve, reject }))
      worker.postMessage({ id, ...work })
      return answer
    },
    async close() {
      await worker?.terminate()
    },
  }
}
