import { withDeadline } from '../deadline.ts'
import { StoreAway } from '../errors.ts'

/** A few, not many: whoever comes meanwhile gathers, and the size of a read tunes itself to the load. */
const IN_FLIGHT_MAX = 2
const KEYS_MAX = 200

interface Waiting<Value> {
  key: string
  resolve: (value: Value | undefined) => void
  reject: (error: unknown) => void
}

/**
 * Whoever asks for one row by its key, at the same time as others, shares a statement and a connection with them.
 *
 * A read begins after everybody in it has asked, so nobody is told what was true before they changed something. Who
 * asks alone does not wait for company.
 */
export function gatherReads<Value>(
  read: (keys: string[], withinMs: number) => Promise<ReadonlyMap<string, Value>>,
  deadlineMs: number,
): (key: string, withinMs?: number) => Promise<Value | undefined> {
  let waiting: Waiting<Value>[] = []
  let inFlight = 0
  let isScheduled = false

  function schedule(): void {
    if (isScheduled || inFlight >= IN_FLIGHT_MAX || waiting.length === 0) return
    isScheduled = true
    // Everybody who asks in this turn of the event loop is in it.
    setImmediate(() => {
      isScheduled = false
      const batch = waiting.slice(0, KEYS_MAX)
      waiting = waiting.slice(KEYS_MAX)
      inFlight += 1
      void answer(batch).finally(() => {
        inFlight -= 1
        schedule()
      })
      schedule()
    })
  }

  async function answer(batch: readonly Waiting<Value>[]): Promise<void> {
    try {
      const values = await read([...new Set(batch.map(({ key }) => key))], deadlineMs)
      for (const { key, resolve } of batch) resolve(values.get(key))
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  return (key, withinMs = deadlineMs) => {
    const asked = new Promise<Value | undefined>((resolve, reject) => {
      waiting.push({ key, resolve, reject })
    })
    schedule()
    // Its own, because the read before may take all of its time too.
    return withDeadline(
      asked,
      withinMs,
      () => new StoreAway('mysql', 'unknown', new Error(`no answer within ${withinMs} ms`)),
    )
  }
}
