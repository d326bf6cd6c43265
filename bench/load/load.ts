/** A request from each of these shoppers, one after the other on so many connections. */
export interface Load {
  /** One api or several; connections and shoppers are dealt out to them evenly. */
  origins: string[]
  /** A GET is anonymous and without a body. */
  method: 'GET' | 'POST'
  /** Of each request, in the order of the shoppers; a single one is that of all. */
  paths: string[]
  /** One Cookie header a request, none used twice. */
  cookies: string[]
  /** The purchase token of each of them, in the same order. */
  tokens: string[]
  /** Of a POST, in the same order; one unit is bought where there are none. */
  bodies?: string[]
  connections: number
  /**
   * The generator asks for answers all the time instead of sleeping until one comes. To wake a sleeper is work of the
   * one who answers, of 5 to 20 µs; with it a slow server pays more for an answer than one that keeps the generator busy.
   */
  isAwake?: boolean
  /** The answers that count. */
  expected: string[]
}

/** What became of it, as the generator saw it. */
export interface LoadResult {
  /** From the first request to the last answer. */
  elapsedMs: number
  /** Answers that count, and how long they took to come, once all connections stood. */
  steady: { good: number; answered: number; elapsedMs: number }
  latenciesMs: Float64Array
  /** Answers by status, all of them. */
  statuses: Record<string, number>
  /** Requests without an answer: what they did is unknown. */
  unanswered: number
  lastAnswerAtMs: number
  /** How much of that time the generator's own thread was busy, 0 to 1: near 1 it measures itself. */
  generatorBusy: number
  /** The generator's CPU time as a share of one core. */
  generatorCpu: number
}
