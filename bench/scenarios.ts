/** In the order in which every round measures them: each is compared with the `bare` of its own round. */
export const SCENARIOS = [
  'bare',
  'sold-out',
  'buy',
  'buy-cold',
  'buy-placing',
  'browse',
  'redlock',
  'for-update',
  'message-each',
] as const
export type Scenario = (typeof SCENARIOS)[number]

/** What each one should answer; anything else is worth a look. */
export const EXPECTED_STATUS: Record<Scenario, string> = {
  bare: '202',
  'sold-out': '409',
  buy: '202',
  'buy-cold': '202',
  'buy-placing': '202',
  browse: '200',
  redlock: '202',
  'for-update': '202',
  'message-each': '202',
}

/** What each one is, for a person. */
export const MEANING: Record<Scenario, string> = {
  bare: 'a Fastify route with the same schemas that does nothing',
  'sold-out': 'a purchase of a sale that is sold out',
  buy: 'a purchase; sessions known to this api, order worker stopped',
  'buy-cold': 'a purchase; sessions only in Redis, order worker stopped',
  'buy-placing': 'a purchase; sessions only in Redis, orders placed meanwhile',
  browse: 'the list of sales as JSON, for anybody',
  redlock: 'textbook: a lock around read, check and write',
  'for-update': 'textbook: SELECT … FOR UPDATE and INSERT per purchase',
  'message-each': 'textbook: a script per request, a confirmed message and a transaction per order',
}

/** The ways of the textbook, in a process of their own; see baselines/. */
export type Baseline = 'redlock' | 'for-update' | 'message-each'

export function isBaseline(scenario: Scenario): scenario is Baseline {
  return scenario === 'redlock' || scenario === 'for-update' || scenario === 'message-each'
}

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

/** How the orders of a round came to rest. */
export interface Placing {
  /** From the last answer, or from the start of the worker, until every order was placed and settled. */
  untilAtRestMs: number
  workerCpuUsPerOrder: number | undefined
  /** Rows a second from the first to the last one. */
  ordersPerSecond: number
  /** From the reservation in Redis to the row in MySQL. */
  acceptedToRowP99Ms: number
}
