import { request as requestHttp } from 'node:http'
import { request as requestHttps, type RequestOptions } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

import type { OwnStores } from '../packages/core/test/own-stores.ts'
import { createShopperMaker } from '../scripts/blitz/make-shoppers.ts'
import { createTokenMaker } from '../scripts/blitz/make-tokens.ts'

/** A person who is logged in and may buy in one sale. */
export interface Buyer {
  userId: number
  cookie: string
  token: string
  /** Where they sit, as a proxy that is believed tells it. */
  address: string
}

/** A test on a busy machine takes longer than a shopper has. */
const TOKEN_LIFETIME_MS = 1_200_000

export interface CrowdOptions {
  saleId: number
  count: number
  secrets: { SESSION_SECRETS: string; PURCHASE_TOKEN_SECRETS: string }
  publicOrigin: string
}

/** Buyers straight in the stores: what a login and a human check leave there, without the time both take. */
export async function makeCrowd(stores: OwnStores, options: CrowdOptions): Promise<Buyer[]> {
  const { saleId, count, secrets, publicOrigin } = options
  const maker = await createShopperMaker({
    mysql: stores.mysql,
    redis: stores.redis,
    sessionSecrets: [secrets.SESSION_SECRETS],
    publicOrigin,
  })
  const shoppers = await maker.makeAll(count)
  const tokenMaker = await createTokenMaker(saleId, {
    redis: stores.redis,
    sales: stores.sales,
    purchaseTokenSecrets: [secrets.PURCHASE_TOKEN_SECRETS],
    lifetimeMs: TOKEN_LIFETIME_MS,
  })
  const tokens = await tokenMaker.makeTokens(shoppers.map(({ userId }) => userId))
  return shoppers.map(({ userId, cookie }, index) => ({
    userId,
    cookie,
    token: tokens[index] as string,
    address: `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`,
  }))
}

/** Longer than the api ever takes: it refuses within two seconds. */
const ANSWER_WITHIN_MS = 10_000

export interface Attempt {
  buyer: Buyer
  /** 0: the connection ended without an answer. */
  status: number
  code: string | undefined
  orderId: string | undefined
}

/** One purchase over a connection of its own, as each browser has one: nothing is repeated behind the test's back. */
export function buyOnce(
  buyer: Buyer,
  origin: string,
  saleId: number,
  { isRetry = false, ...connection }: RequestOptions & { isRetry?: boolean } = {},
): Promise<Attempt> {
  const url = new URL(`/api/v1/sales/${saleId}/orders`, origin)
  const options = {
    method: 'POST',
    agent: false as const,
    headers: {
      cookie: buyer.cookie,
      'x-forwarded-for': buyer.address,
      'x-purchase-token': buyer.token,
      'content-length': '0',
      ...(isRetry && { 'x-purchase-retry': '1' }),
    },
    ...connection,
  }
  return new Promise((resolve) => {
    const unknown = (): void => resolve({ buyer, status: 0, code: undefined, orderId: undefined })
    const request = url.protocol === 'https:' ? requestHttps(url, options) : requestHttp(url, options)
    request.once('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.once('error', unknown)
      response.once('end', () => {
        const { code, orderId } = readJson(text)
        resolve({ buyer, status: response.statusCode ?? 0, code, orderId })
      })
    })
    request.once('error', unknown)
    // A connection that nobody serves any more is one without an answer.
    request.setTimeout(ANSWER_WITHIN_MS, () => request.destroy())
    request.end()
  })
}

/** Between two buyers of one lane: a rush must outlast what is done to the system meanwhile. */
const PAUSE_MS = 40

/** Buyers who come one after another in `atOnce` lanes, until all were there or the rush is ended. */
export function startRush(
  buyers: readonly Buyer[],
  atOnce: number,
  buy: (buyer: Buyer, index: number) => Promise<Attempt>,
) {
  const attempts: Attempt[] = []
  let next = 0
  let isEnded = false
  const comeIn = async (): Promise<void> => {
    while (!isEnded) {
      const index = next++
      const buyer = buyers[index]
      if (!buyer) return
      attempts.push(await buy(buyer, index))
      await sleep(PAUSE_MS)
    }
  }
  const done = Promise.all(Array.from({ length: atOnce }, comeIn))
  return {
    made: () => attempts.length,
    /** Nobody comes any more; resolves with everybody's answer. */
    async end(): Promise<Attempt[]> {
      isEnded = true
      await done
      return attempts
    },
  }
}

/** How often each answer came, e.g. `{ '202': 312 }`. */
export function countAnswers(attempts: readonly Attempt[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { status, code } of attempts) {
    const answer = code ? `${status} ${code}` : String(status)
    counts[answer] = (counts[answer] ?? 0) + 1
  }
  return counts
}

function readJson(text: string): { code?: string; orderId?: string } {
  try {
    return JSON.parse(text) as { code?: string; orderId?: string }
  } catch {
    // A proxy's own page.
    return {}
  }
}
