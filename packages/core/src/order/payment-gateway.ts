import type { IncomingHttpHeaders } from 'node:http'

/** What the shop asks a provider of payments. All of it may be said twice and is then the same. */
export interface PaymentGateway {
  readonly provider: string
  /** `paymentId` is the idempotency key: the same payment is begun once, and the same page is answered. */
  start(payment: PaymentStart): Promise<{ providerRef: string; paymentUrl: string }>
  /** Whether an answer under the provider's own address really is the provider's. */
  readCallback(headers: IncomingHttpHeaders, body: string, nowMs: number): PaymentCallback
}

export interface RefundGateway {
  readonly provider: string
  /** Gives back all of one capture. `pending`: ask again later, with the same `refundKey`. */
  refund(capture: { providerRef: string; refundKey: string }): Promise<'refunded' | 'pending'>
}

export interface PaymentStart {
  paymentId: number
  amountCents: number
  currency: string
  /** Where the buyer's browser goes afterwards. */
  returnUrl: string
  payBeforeMs: number
}

/** What became of one capture, or try, of a payment. */
export interface PaymentEvent {
  paymentId: number
  /** Of this capture. A buyer who was charged twice on one page has two. */
  providerRef: string
  result: 'succeeded' | 'failed'
  amountCents: number
  currency: string
}

export type PaymentCallback =
  | { kind: 'event'; event: PaymentEvent }
  | { kind: 'forged' }
  | { kind: 'unreadable' }
