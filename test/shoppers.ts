import { hashPassword } from '@blitzbuy/core/user/password'
import type { ResultSetHeader } from 'mysql2/promise'

import type { OwnStores } from '../packages/core/test/own-stores.ts'
import { passGate } from './pass-gate.ts'

const PASSWORD = 'correct horse battery'

export interface Shopper {
  userId: number
  cookie: string
  /** Where they sit, as the proxy in front tells it. */
  address: string
  /** Purchase tokens by sale. */
  tokens: Map<number, string>
}

/** Accounts straight in MySQL, each logged in at the api as a shopper would. */
export async function makeShoppers(
  stores: OwnStores,
  count: number,
  origin: (index: number) => string,
  /** Of the phone numbers, for who makes shoppers more than once. */
  from = 0,
): Promise<Shopper[]> {
  const hash = await hashPassword(PASSWORD)
  const phones = Array.from({ length: count }, (_, i) => `+861390${String(from + i).padStart(7, '0')}`)
  const firstId = await stores.mysql.use(async ({ connection }) => {
    const [result] = await connection.query<ResultSetHeader>(
      'INSERT INTO users (phone, nickname, password_hash) VALUES ?',
      [phones.map((phone, i) => [phone, `Shopper ${i}`, hash])],
    )
    return result.insertId
  }, 10_000)

  const shoppers: Shopper[] = []
  const waiting = phones.map((phone, index) => ({ phone, index }))
  const logIn = async (): Promise<void> => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const address = `10.0.${next.index >> 8}.${next.index & 255}`
      const cookie = await login(origin(next.index), next.phone, address)
      shoppers[next.index] = { userId: firstId + next.index, cookie, address, tokens: new Map() }
    }
  }
  await Promise.all(Array.from({ length: 8 }, logIn))
  return shoppers
}

/** Every shopper shows to be a person, before the race for this sale. */
export async function passGates(
  stores: OwnStores,
  shoppers: readonly Shopper[],
  saleId: number,
  origin: (index: number) => string,
): Promise<void> {
  const waiting = shoppers.map((shopper, index) => ({ shopper, index }))
  const pass = async (): Promise<void> => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const { shopper, index } = next
      shopper.tokens.set(
        saleId,
        await passGate(stores, origin(index), shopper.cookie, saleId, shopper.address),
      )
    }
  }
  await Promise.all(Array.from({ length: 16 }, pass))
}

async function login(origin: string, phone: string, address: string): Promise<string> {
  const answer = await fetch(`${origin}/api/v1/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': address },
    body: JSON.stringify({ phone, password: PASSWORD }),
  })
  const [cookie] = answer.headers.getSetCookie()
  if (answer.status !== 200 || !cookie)
    throw new Error(`login answered ${answer.status} ${await answer.text()}`)
  return cookie.split(';')[0] as string
}

export interface Answer {
  /** 0: no answer came, the outcome is unknown. */
  status: number
  code: string | undefined
  orderId: string | undefined
  handoff: string | undefined
  tookMs: number
}

export async function buy(
  shopper: Shopper,
  origin: string,
  saleId: number,
  isRetry = false,
): Promise<Answer> {
  const beganMs = performance.now()
  try {
    const answer = await fetch(`${origin}/api/v1/sales/${saleId}/orders`, {
      method: 'POST',
      headers: {
        cookie: shopper.cookie,
        'x-forwarded-for': shopper.address,
        'x-purchase-token': shopper.tokens.get(saleId) ?? '',
        ...(isRetry && { 'x-purchase-retry': '1' }),
      },
    })
    const body = (await answer.json()) as { code?: string; orderId?: string; handoff?: string }
    return {
      status: answer.status,
      code: body.code,
      orderId: body.orderId,
      handoff: body.handoff,
      tookMs: performance.now() - beganMs,
    }
  } catch {
    return {
      status: 0,
      code: undefined,
      orderId: undefined,
      handoff: undefined,
      tookMs: performance.now() - beganMs,
    }
  }
}

/** What this shopper reads about an order. */
export async function readOrder(
  shopper: Shopper,
  origin: string,
  orderId: string,
): Promise<{ status: number; state?: string }> {
  const answer = await fetch(`${origin}/api/v1/orders/${orderId}`, { headers: { cookie: shopper.cookie } })
  const body = (await answer.json()) as { state?: string }
  return { status: answer.status, ...body }
}
