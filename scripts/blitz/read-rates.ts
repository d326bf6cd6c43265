/** What the apis did between two looks. */
export interface Rates {
  acceptedPerSecond: number
  refusedPerSecond: Record<string, number>
  /** The bound of the bucket that one purchase in a hundred is beyond; undefined when there were none. */
  p99Ms: number | undefined
}

/** The counters of all apis together, and when they were read. */
export interface Scraped {
  atMs: number
  outcomes: Map<string, number>
  /** Purchases by the upper bound of their time, in seconds. */
  buckets: Map<number, number>
}

const ANSWER_MS = 1_000
const ROUTE = '/api/v1/sales/:saleId/orders'

/** @returns undefined when no api answers; without rates at the first look. */
export async function readRates(
  apis: readonly string[],
  saleId: number,
  before: Scraped | undefined,
): Promise<{ scraped: Scraped; rates: Rates | undefined } | undefined> {
  const texts = await Promise.all(apis.map(readMetrics))
  const known = texts.filter((text) => text !== undefined)
  if (known.length === 0) return undefined
  const scraped: Scraped = { atMs: performance.now(), outcomes: new Map(), buckets: new Map() }
  for (const line of known.join('\n').split('\n')) {
    const [, name, labels = '', value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? []
    const label = (of: string): string | undefined => new RegExp(`${of}="([^"]*)"`).exec(labels)?.[1]
    if (name === 'blitzbuy_purchase_attempts_total' && label('sale') === String(saleId))
      add(scraped.outcomes, label('outcome') ?? '', Number(value))
    if (name === 'http_request_duration_seconds_bucket' && label('route') === ROUTE)
      add(
        scraped.buckets,
        label('le') === '+Inf' ? Number.POSITIVE_INFINITY : Number(label('le')),
        Number(value),
      )
  }
  return { scraped, rates: before && ratesOf(before, scraped) }
}

async function readMetrics(api: string): Promise<string | undefined> {
  try {
    const answer = await fetch(new URL('/metrics', api), { signal: AbortSignal.timeout(ANSWER_MS) })
    return answer.ok ? await answer.text() : undefined
  } catch {
    return undefined
  }
}

function ratesOf(before: Scraped, now: Scraped): Rates {
  const seconds = (now.atMs - before.atMs) / 1000
  const refusedPerSecond: Record<string, number> = {}
  let acceptedPerSecond = 0
  for (const [outcome, count] of now.outcomes) {
    // Less than before: an api was restarted.
    const rate = Math.max(0, count - (before.outcomes.get(outcome) ?? 0)) / seconds
    if (outcome === 'reserved') acceptedPerSecond = rate
    else if (rate > 0) refusedPerSecond[outcome] = rate
  }
  return { acceptedPerSecond, refusedPerSecond, p99Ms: p99Ms(before, now) }
}

function p99Ms(before: Scraped, now: Scraped): number | undefined {
  const grown = [...now.buckets]
    .map(([bound, count]) => ({ bound, count: count - (before.buckets.get(bound) ?? 0) }))
    .toSorted((a, b) => a.bound - b.bound)
  const all = grown.at(-1)?.count ?? 0
  if (all <= 0) return undefined
  const bound = grown.find(({ count }) => count >= all * 0.99)?.bound
  return bound === undefined ? undefined : bound * 1000
}

function add<Key>(counts: Map<Key, number>, key: Key, value: number): void {
  counts.set(key, (counts.get(key) ?? 0) + value)
}
