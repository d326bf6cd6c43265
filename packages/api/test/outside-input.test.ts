import diagnostics from 'node:diagnostics_channel'
import type { Socket } from 'node:net'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import { PUBLIC_ORIGIN, newAddress, newShopper, passGate, useOwnApi, type Shopper } from './own-api.ts'

/** Every connection that this process opens, from before the api begins; drivers of stores do it later, too. */
const opened: Socket[] = []
const keep = (message: unknown) => void opened.push((message as { socket: Socket }).socket)
diagnostics.subscribe('net.client.socket', keep)
afterAll(() => void diagnostics.unsubscribe('net.client.socket', keep))

// One shopper asks for everything here: refused for being too fast, they would have tried nothing.
const FAST = '100000/60'
const api = useOwnApi({
  LIMIT_AUTH_USER: FAST,
  LIMIT_CHALLENGE_USER: FAST,
  LIMIT_PURCHASE_USER: FAST,
})
let shopper: Shopper
let saleId: number
beforeAll(async () => {
  shopper = await newShopper(api)
  saleId = await addWarmSale(api.stores)
})

const HOSTILE = [
  "' OR '1'='1",
  '1; DROP TABLE users; -- ',
  "x' UNION SELECT password_hash FROM users -- ",
  '-1 OR SLEEP(5)',
  '\\',
  '%00',
  'http://127.0.0.1:1/',
  '//evil.test/%0d%0ax: y',
  '${7*7}{{7*7}}<%= 7*7 %>',
]
const QUERIES = ['cursor', 'next', 'notice', 'lang', 'limit', 'sort', 'phone', 'q', 'captchaId']

describe('what a client sends', () => {
  it('in any place of any address or query breaks nothing, and is never a part of a statement', async () => {
    const countOf = async () => {
      const [rows] = await api.stores.mysql.use(({ connection }) =>
        connection.query('SELECT COUNT(*) AS users FROM users'),
      )
      return (rows as { users: number }[])[0]?.users
    }
    const usersBefore = await countOf()
    let count = 0
    for (const [route, methods] of api.app.methodsByUrl) {
      // What would end the shopper's session is left out: the rest would be asked by nobody.
      if (/^\/assets|logout|\/sessions\/end$/.test(route)) continue
      for (const method of methods as Iterable<'GET' | 'POST' | 'DELETE'>) {
        for (const text of HOSTILE) {
          const value = encodeURIComponent(text)
          const path = route.replaceAll(/:\w+/g, value)
          const query = QUERIES.map((name) => `${name}=${value}`).join('&')
          const beganMs = performance.now()
          const answer = await api.app.inject({
            method,
            url: `${path}?${query}`,
            headers: { cookie: shopper.cookie, 'x-forwarded-for': newAddress(), origin: PUBLIC_ORIGIN },
          })
          expect([method, path, answer.statusCode]).toEqual([method, path, expect.toSatisfy(isNoFault)])
          // No SLEEP was run.
          expect(performance.now() - beganMs).toBeLessThan(4_000)
          count += 1
        }
      }
    }
    expect(count).toBeGreaterThan(200)
    expect((await shopper.call({ url: '/api/v1/me' })).statusCode).toBe(200)
    expect(await countOf()).toBe(usersBefore)
  }, 120_000)

  it('leads this process to no address: it connects to its stores alone', async () => {
    const url = 'http://169.254.169.254/latest'
    const headers = {
      'x-forwarded-host': '169.254.169.254',
      'x-forwarded-proto': 'gopher',
      forwarded: 'host=169.254.169.254',
      referer: url,
      'x-original-url': url,
    }
    shopper.purchaseToken = await passGate(api, shopper, saleId)
    const bought = await shopper.call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders`, headers })
    expect(bought.statusCode).toBe(202)
    for (const [path, payload] of [
      ['/api/v1/auth/login', { phone: url, password: url }],
      ['/api/v1/payment-callbacks/sandbox', { paymentUrl: url, callbackUrl: url }],
      ['/api/v1/admin/products', { title: url, description: url, imagePath: url }],
    ] as const) {
      await shopper.call({ method: 'POST', url: path, headers, payload })
    }
    await shopper.call({ url: `/login?next=${encodeURIComponent(url)}`, headers })

    const { mysqlUrl, redisUrl, amqpUrl } = api.stores
    const stores = [mysqlUrl, redisUrl, amqpUrl].map((store) => Number(new URL(store).port))
    const ports = opened.flatMap(({ remotePort }) => (remotePort === undefined ? [] : [remotePort]))
    expect(new Set(ports)).toEqual(new Set(stores))
    // Whoever was not reached has no remote port, but is still waited for.
    expect(opened.filter(({ connecting }) => connecting)).toEqual([])
  })
})

/** Answered, or refused for what it is; 503 is a store that was slow under load. */
function isNoFault(status: unknown): boolean {
  return typeof status === 'number' && ((status < 500 && status !== 429) || status === 503)
}
