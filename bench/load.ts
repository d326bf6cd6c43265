/** A request from each of these shoppers, one after the other on so many connections. */
export interface Load {
  url: string
  /** A GET is anonymous and without a body. */
  method: 'GET' | 'POST'
  /** One Cookie header a request, none used twice. */
  cookies: string[]
  /** The purchase token of each of them, in the same order. */
  tokens: string[]
  connections: number
}

/** What became of it, as the generator saw it. */
export interface LoadResult {
  /** From the first request to the last answer. */
  elapsedMs: number
  latenciesMs: Float64Array
  /** Answers by status. */
  statuses: Record<string, number>
  /** Requests without an answer: what they did is unknown. */
  unanswered: number
  lastAnswerAtMs: number
  /** How much of that time the generator's own thread was busy, 0 to 1: near 1 it measures itself. */
  generatorBusy: number
  /** The generator's CPU time as a share of one core. */
  generatorCpu: number
}
