import type { COMPARED } from '../scenario-names.mjs'

export type Scenario = (typeof COMPARED)[number]

/** What each one should answer: only that counts, and anything else but a refusal under load is worth a look. */
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

/** The ways of the textbook, in a process of their own; see bench/baselines. */
export type Baseline = 'redlock' | 'for-update' | 'message-each'

export function isBaseline(scenario: Scenario): scenario is Baseline {
  return scenario === 'redlock' || scenario === 'for-update' || scenario === 'message-each'
}

/** One scenario in one round. */
export interface Measurement {
  requests: number
  /** Answers of the expected status, from when all connections stood. */
  requestsPerSecond: number
  /** From the first request to the last answer. */
  elapsedMs: number
  latenciesMs: Float64Array
  statuses: Record<string, number>
  unanswered: number
  lastAnswerAtMs: number
  /** Of the process that answers, from when all connections stood; undefined where it cannot be read. */
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
