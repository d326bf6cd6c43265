/** What each of the people does, in this order. */
export const JOURNEY_STEPS = [
  'page',
  'login',
  'check',
  'token',
  'buy',
  'told',
  'polled',
  'payment',
  'paid',
] as const
export type JourneyStep = (typeof JOURNEY_STEPS)[number]

export const STEP_MEANING: Record<JourneyStep, string> = {
  page: 'the page of the sale, HTML',
  login: 'phone number and password, until logged in: waits that Retry-After asks for included',
  check: 'a picture to read',
  token: 'its answer, for a purchase token',
  buy: 'the purchase, at the opening',
  told: 'from the 202 until a stream of events says that it can be paid for',
  polled: 'the same, by asking as often as the answer says',
  payment: 'beginning a payment',
  paid: 'from paying at the (sandbox) provider until the order reads paid',
}

export interface Person {
  /** Of a session that they have already; without one they log in. */
  cookie?: string
  phone: string
  address: string
  /** When they come, counted from the beginning. */
  arrivesAfterMs: number
  /** Whether their browser listens to a stream of events or polls. */
  listens: boolean
}

export interface JourneyWork {
  origin: string
  saleId: number
  password: string
  opensAtMs: number
  /** Nobody takes longer to find their card. */
  payWithinMs: number
  people: Person[]
}

export interface StepResult {
  latenciesMs: Float64Array
  /** Every answer, refused tries included. */
  statuses: Record<string, number>
}

export interface JourneyResult {
  steps: Record<JourneyStep, StepResult>
  /** Purchases that were told 202. */
  accepted: number
  paid: number
  /** From the opening until the last one had paid. */
  elapsedMs: number
  /** Why somebody came no further, once for each reason. */
  stranded: Record<string, number>
}
