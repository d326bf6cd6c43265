import { Agent, request } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

import { addressOf } from '../load/address-of.ts'
import { answerAsks } from '../load/ask.ts'

/** Purchases that are due at a steady rate, whatever becomes of the ones before. */
export interface SteadyPurchases {
  origin: string
  path: string
  perSecond: number
  buyers: { cookie: string; token: string }[]
}

/** By the wall clock. The time counts from when it was due, so that one that could not be sent in time counts in full. */
export type TimedPurchase = [dueAtMs: number, tookMs: number, status: string]

const CONNECTIONS = 64

answerAsks<SteadyPurchases, TimedPurchase[]>(async ({ origin, path, perSecond, buyers }, tellMilestone) => {
  // The connection that was used the longest ago is next, or most would never be used.
  const agent = new Agent({
    keepAlive: true,
    maxSockets: CONNECTIONS,
    maxFreeSockets: CONNECTIONS,
    scheduling: 'fifo',
  })
  const ask = (method: string, at: string, headers: Record<string, string>): Promise<string> =>
    new Promise((resolve) => {
      request(origin + at, { agent, method, headers })
        .on('response', (answer) => answer.on('end', () => resolve(String(answer.statusCode))).resume())
        .on('error', (error) => resolve(error.message))
        .end()
    })
  // Open before the Buy button is pressed, as the page of a sale has its connection.
  await Promise.all(Array.from({ length: CONNECTIONS }, () => ask('GET', '/api/v1/time', {})))
  tellMilestone()

  const beganMs = performance.now()
  const purchases: Promise<TimedPurchase>[] = []
  for (const [at, { cookie, token }] of buyers.entries()) {
    const dueMs = beganMs + (at * 1_000) / perSecond
    const waitMs = dueMs - performance.now()
    if (waitMs > 0) await pause(waitMs)
    const bought = ask('POST', path, { cookie, 'x-purchase-token': token, 'x-forwarded-for': addressOf(at) })
    purchases.push(
      bought.then((status) => [performance.timeOrigin + dueMs, performance.now() - dueMs, status]),
    )
  }
  return Promise.all(purchases)
})
