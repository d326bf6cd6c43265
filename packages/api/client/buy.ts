import { OFFLINE_RETRY_MS, ask, backoffMs, post, wait } from './ask.ts'
import type { ServerClock } from './server-clock.ts'
import { fill, text } from './texts.ts'
import { SECOND_MS } from './times.ts'

/** Then a purchase that is only ever told "busy" goes back into the hands of the shopper. */
const BUSY_TRIES_MAX = 10
/** Shoppers who wait for the same opening must not all try again in the same millisecond. */
const JITTER_MS = 300

export type Bought =
  | { goTo: string }
  | { phase: 'upcoming' | 'sold_out' | 'paused' | 'ended'; message: string }
  | { needsCheck: true; message: string }
  | { message: string }

export interface Purchase {
  saleId: string
  quantity: number
  clock: ServerClock
  /** The purchase token; asked for anew at every try. */
  token: () => Promise<string>
  refusal: (code: unknown) => string | undefined
  say: (message: string) => void
  onConfirming: () => void
}

/**
 * Tries until the outcome is known. One buyer's purchase is the same purchase however often it is sent, so a lost
 * answer costs nothing but another question.
 */
export async function buy(purchase: Purchase): Promise<Bought> {
  const { saleId, clock, say } = purchase
  const refusal = (code: unknown): string => purchase.refusal(code) ?? ''
  let wasEarly = false
  for (let attempt = 0; ; attempt += 1) {
    const answer = await send(purchase)
    const { code, orderId, retryAfterMs = 0, nowMs, unitsLeft, requestId } = answer?.body ?? {}
    if (orderId !== undefined) {
      forgetOpenTry(saleId)
      return { goTo: `/orders/${String(orderId)}` }
    }
    clock.observe(nowMs)

    if (answer && code !== 'outcome-unknown' && answer.status < 500) forgetOpenTry(saleId)
    switch (code) {
      case 'login-required':
        return { goTo: `/login?next=${encodeURIComponent(`/sales/${saleId}`)}` }
      case 'sale-not-open':
        if (wasEarly || retryAfterMs > OFFLINE_RETRY_MS) return { phase: 'upcoming', message: refusal(code) }
        wasEarly = true
        await wait(Number(retryAfterMs) + Math.random() * JITTER_MS)
        continue
      case 'purchase-token-invalid':
        return { needsCheck: true, message: refusal(code) }
      case 'sold-out':
        return { phase: 'sold_out', message: refusal(code) }
      case 'sale-closed':
        return { phase: 'ended', message: refusal(code) }
      case 'sale-paused':
        return { phase: 'paused', message: refusal(code) }
      case 'too-few-left':
        return { message: fill(refusal(code), { n: unitsLeft }) }
      case 'blocked':
        return { message: fill(refusal(code), { ref: String(requestId) }) }
      case 'overloaded':
      case 'sale-warming':
      case 'rate-limited':
      case 'dependency-unavailable':
      case 'draining': {
        if (attempt >= BUSY_TRIES_MAX) return { message: text('gave-up') }
        const pauseMs = Math.max(Number(retryAfterMs), backoffMs(attempt))
        const key = code === 'rate-limited' ? 'too-fast' : code === 'sale-warming' ? 'warming' : 'busy'
        say(text(key, { s: Math.ceil(pauseMs / SECOND_MS) }))
        await wait(pauseMs)
        continue
      }
      default:
    }
    if (answer && answer.status < 500)
      return { message: purchase.refusal(code) ?? text('failed', { id: String(requestId ?? '') }) }

    // No answer, or one that does not tell: the try may have succeeded.
    purchase.onConfirming()
    await wait(
      Math.max(
        Number(retryAfterMs),
        answer ? backoffMs(attempt) : Math.min(OFFLINE_RETRY_MS, backoffMs(attempt)),
      ),
    )
    const found = await ask(`/api/v1/sales/${saleId}/viewer`)
    if (found?.body['orderId']) {
      forgetOpenTry(saleId)
      return { goTo: `/orders/${String(found.body['orderId'])}` }
    }
    if (!found) say(`${text('offline')} ${text('confirming')}`)
  }
}

async function send(purchase: Purchase) {
  const token = await purchase.token()
  // Whose answer was lost may hold the last unit: every further try says so, also after a reload.
  const isRetry = hasOpenTry(purchase.saleId)
  noteOpenTry(purchase.saleId)
  return post(
    `/api/v1/sales/${purchase.saleId}/orders`,
    { quantity: purchase.quantity },
    { 'x-purchase-token': token, ...(isRetry && { 'x-purchase-retry': '1' }) },
  )
}

const keyOf = (saleId: string): string => `blitz-try-${saleId}`
const hasOpenTry = (saleId: string): boolean => sessionStorage.getItem(keyOf(saleId)) !== null
const noteOpenTry = (saleId: string): void => sessionStorage.setItem(keyOf(saleId), '1')
const forgetOpenTry = (saleId: string): void => sessionStorage.removeItem(keyOf(saleId))
