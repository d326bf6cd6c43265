/** In the order in which every round measures them. */
export const SCENARIOS = ['bare', 'buy', 'sold-out'] as const
export type Scenario = (typeof SCENARIOS)[number]

/** What each one should answer; anything else is worth a look. */
export const EXPECTED_STATUS: Record<Scenario, string> = { bare: '202', buy: '202', 'sold-out': '409' }

/** One scenario in one round. */
export interface Measurement {
  requests: number
  requestsPerSecond: number
  latenciesMs: Float64Array
  statuses: Record<string, number>
  unanswered: number
  /** Of the process that answers; undefined where it cannot be read. */
  serverCpuUsPerRequest: number | undefined
  generatorBusy: number
  generatorCpu: number
  placing?: Placing
}

/** How the orders of a round of `buy` came to rest. */
export interface Placing {
  /** From the last answer until every order was placed and settled. */
  afterLastAnswerMs: number
  workerCpuUsPerOrder: number | undefined
}
