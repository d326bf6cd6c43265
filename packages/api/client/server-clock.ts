import { ask, wait } from './ask.ts'

const SAMPLES = 5
const SAMPLE_GAP_MS = 150
const ROUND_TRIP_MAX_MS = 2_000

export interface ServerClock {
  nowMs(): number
  /** The time in an answer that has just come. */
  observe(nowMs: unknown): void
  /** Asks for the time a few times and believes the answer that was the quickest. */
  refine(): Promise<void>
}

/**
 * The server's time, carried on by a clock that nobody can set.
 *
 * The first estimate comes with the page. It was stamped before the first byte arrived, so it is late by the way
 * here and never early. Samples then narrow it: the one with the shortest round trip is wrong by half of that at most.
 */
export function createServerClock(serverNowMs: number): ServerClock {
  const localNow = (): number => performance.timeOrigin + performance.now()
  const [navigation] = performance.getEntriesByType('navigation')
  const arrivedMs =
    navigation instanceof PerformanceNavigationTiming ? navigation.responseStart : performance.now()
  let offsetMs = serverNowMs - (performance.timeOrigin + arrivedMs)
  let bestRoundTripMs = ROUND_TRIP_MAX_MS

  async function sample(): Promise<void> {
    const sentMs = localNow()
    const answer = await ask('/api/v1/time')
    const gotMs = localNow()
    if (answer?.status !== 200 || gotMs - sentMs > bestRoundTripMs) return
    bestRoundTripMs = gotMs - sentMs
    offsetMs = Number(answer.body['nowMs']) + bestRoundTripMs / 2 - gotMs
  }

  return {
    nowMs: () => localNow() + offsetMs,
    observe(nowMs) {
      if (typeof nowMs === 'number') offsetMs = nowMs - localNow()
    },
    async refine() {
      bestRoundTripMs = ROUND_TRIP_MAX_MS
      for (let count = 0; count < SAMPLES; count += 1) {
        await sample()
        await wait(SAMPLE_GAP_MS)
      }
    },
  }
}
