import { setTimeout as pause } from 'node:timers/promises'

/** A batch that is with MySQL when the process ends is waited for this long; then the broker gives it to another worker. */
const CLOSE_WITHIN_MS = 5_000

/** One message of the queue, and the word to the broker that it is done. */
export interface Delivery<Message> {
  message: Message
  ack: () => void
}

export interface Gatherer<Message> {
  add(delivery: Delivery<Message>): void
  /** Resolves when the batch in hand has been worked off, or after `closeWithinMs`; the rest is given up. */
  close(): Promise<void>
}

/**
 * Gathers what is delivered and works it off in batches, one at a time.
 *
 * While one batch is with MySQL the next one gathers, so the size of a batch tunes itself to the load; a lone
 * message does not wait for company longer than `lingerMs`.
 */
export function createGatherer<Message>(options: {
  /** A batch begins when this much has gathered, or after `lingerMs`. */
  weightMax: number
  lingerMs: number
  weigh: (message: Message) => number
  /** Works off a batch; it retries by itself and throws only when it gives up because of `signal`. */
  work: (messages: Message[], signal: AbortSignal) => Promise<void>
  closeWithinMs?: number
}): Gatherer<Message> {
  const { weightMax, lingerMs, weigh, work, closeWithinMs = CLOSE_WITHIN_MS } = options
  const gathered: Delivery<Message>[] = []
  const ending = new AbortController()
  let working: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined

  const weight = (): number => gathered.reduce((sum, delivery) => sum + weigh(delivery.message), 0)

  function takeBatch(): Delivery<Message>[] {
    let taken = 0
    let count = 0
    for (const delivery of gathered) {
      taken += weigh(delivery.message)
      if (count > 0 && taken > weightMax) break
      count += 1
    }
    return gathered.splice(0, count)
  }

  async function run(): Promise<void> {
    while (gathered.length > 0 && !ending.signal.aborted) {
      const batch = takeBatch()
      try {
        await work(
          batch.map((delivery) => delivery.message),
          ending.signal,
        )
      } catch (error) {
        // Not acknowledged: the broker gives it to another worker.
        if (ending.signal.aborted) return
        throw error
      }
      for (const delivery of batch) acknowledge(delivery)
    }
  }

  /** On a channel that is gone it throws: the broker delivers again, and what is settled stays so. */
  function acknowledge(delivery: Delivery<Message>): void {
    try {
      delivery.ack()
    } catch {
      // Redelivered; repeating it changes nothing.
    }
  }

  function begin(): void {
    clearTimeout(timer)
    timer = undefined
    working ??= run().finally(() => {
      working = undefined
      if (gathered.length > 0 && !ending.signal.aborted) begin()
    })
  }

  return {
    add(delivery) {
      gathered.push(delivery)
      if (working) return
      if (weight() >= weightMax) begin()
      else timer ??= setTimeout(begin, lingerMs)
    },
    async close() {
      clearTimeout(timer)
      ending.abort()
      // A MySQL that hangs would hold the process beyond its ten seconds.
      await Promise.race([working?.catch(() => undefined), pause(closeWithinMs, undefined, { ref: false })])
    },
  }
}
