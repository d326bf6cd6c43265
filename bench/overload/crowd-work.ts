/** What people in a crowd ask for. */
export const CROWD_KINDS = ['page', 'list', 'login', 'purchase', 'order', 'payment'] as const
export type CrowdKind = (typeof CROWD_KINDS)[number]

/** What people come for: looking how far an order is counts as nothing. */
export const WANTED: readonly CrowdKind[] = ['page', 'list', 'login', 'purchase', 'payment']

/** Of so many things that somebody does one is a login: a password costs 20 ms of a core on purpose. */
export const LOGIN_EVERY = 200

export interface CrowdBuyer {
  userId: number
  cookie: string
  token: string
}

/**
 * So many people at the same time, each on a connection of their own. Each looks at the page of the sale, at the list, at
 * the page again, buys, waits for the order and begins to pay, and is somebody else from there on. Nobody waits in
 * between.
 */
export interface CrowdWork {
  origins: string[]
  saleId: number
  people: number
  /** How long they come, and how much of it at the beginning is not counted. */
  forMs: number
  settleMs: number
  /** Whether who is refused waits as long as the answer says. */
  isPatient: boolean
  buyers: CrowdBuyer[]
  /** Of accounts that log in; none: nobody does. */
  phones: string[]
  password: string
}

export interface KindResult {
  good: number
  refused: number
  /** Answers by status in the time that is counted. */
  statuses: Record<string, number>
  goodLatencyMs: { p50: number; p99: number }
  refusedLatencyMs: { p50: number; p99: number }
}

export interface CrowdResult {
  kinds: Record<CrowdKind, KindResult>
  countedMs: number
  /** How late the crowd's own event loop was, on average: it is in all latencies. */
  ownDelayMs: number
  /** All of them, not only those in the time that is counted. */
  purchases: PurchaseTold[]
  /** There were more wishes than people to have them. */
  isShortOfBuyers: boolean
}

export interface PurchaseTold {
  userId: number
  origin: string
  /** 0: no answer. */
  status: number
  code?: string
  orderId?: string
  handoff?: string
  at: number
  tookMs: number
}
