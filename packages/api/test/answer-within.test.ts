import type { LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'

import { startProxy, type Proxy } from '../../../test/faults/proxy.ts'
import { addWarmSale, useOwnStores } from '../../core/test/own-stores.ts'
import { newShopper, passGate, useApiOn, type OwnApi, type Shopper } from './own-api.ts'

const WITHIN_MS = 400
/** On the way to the store and on the way back: one trip takes longer than a whole request may. */
const LATENCY_MS = 250

let redisLink: Proxy
let mysqlLink: Proxy
/** Seen by this one api alone; the test's own connections are quick. */
const slow: Record<string, string> = { ANSWER_WITHIN_MS: String(WITHIN_MS) }
beforeAll(async () => {
  const targetOf = (url: string) => ({ host: new URL(url).hostname, port: Number(new URL(url).port) })
  redisLink = await startProxy(targetOf(inject('redisUrl')))
  mysqlLink = await startProxy(targetOf(inject('mysqlUrl')))
})
const stores = useOwnStores()
const quick = useApiOn(stores)
beforeAll(() => {
  slow.REDIS_URL = through(stores.redisUrl, redisLink)
  slow.MYSQL_URL = through(stores.mysqlUrl, mysqlLink)
})
const api = useApiOn(stores, slow)
beforeAll(() => {
  Object.assign(patient, slow, { ANSWER_WITHIN_MS: '15000' })
})
const patient: Record<string, string> = {}
/** The same slow stores, without the deadline. */
const unbounded = useApiOn(stores, patient)
afterAll(async () => {
  await Promise.all([redisLink.close(), mysqlLink.close()])
})

function through(url: string, { port }: Proxy): string {
  const changed = new URL(url)
  changed.host = `127.0.0.1:${port}`
  return changed.href
}

describe('a request while the stores are slow but not away', () => {
  let saleId: number
  let shopper: Shopper
  beforeAll(async () => {
    saleId = await addWarmSale(stores)
    shopper = await newShopper(quick)
    shopper.purchaseToken = await passGate(quick, shopper, saleId)
    for (const link of [redisLink, mysqlLink]) link.poison({ latencyMs: LATENCY_MS })
  })

  async function ask(
    { app }: OwnApi,
    method: 'GET' | 'POST',
    url: string,
  ): Promise<{ answer: LightMyRequestResponse; tookMs: number }> {
    const { cookie, address, purchaseToken = '' } = shopper
    const headers = { cookie, 'x-forwarded-for': address, 'x-purchase-token': purchaseToken }
    const beganAtMs = performance.now()
    const answer = await app.inject({ method, url, headers })
    return { answer, tookMs: performance.now() - beganAtMs }
  }

  it.each([
    ['the list of sessions', 'GET', '/me/sessions', 'dependency-unavailable'],
    ['a purchase', 'POST', '/sales/:saleId/orders', 'outcome-unknown'],
    ['the end of a session', 'POST', '/auth/logout', 'outcome-unknown'],
  ] as const)(
    'for %s is refused in time, which it would not be by itself',
    async (_what, method, path, code) => {
      const url = `/api/v1${path.replace(':saleId', String(saleId))}`
      const { answer } = await ask(api, method, url)
      expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([503, code])
      expect(answer.headers['retry-after']).toBe('1')
      // The same without the deadline: both are slowed by the same machine, only this one by all of its trips.
      const late = await ask(unbounded, method, url)
      expect(late.answer.statusCode).toBeLessThan(300)
      expect(late.tookMs).toBeGreaterThan(WITHIN_MS)
    },
  )
})

it('a purchase has one timer, which is gone with its answer: a second one would keep its request in memory', async () => {
  const saleId = await addWarmSale(stores)
  const shopper = await newShopper(quick)
  const purchaseToken = await passGate(quick, shopper, saleId)
  const timeouts = vi.spyOn(globalThis, 'setTimeout')
  try {
    const { cookie, address } = shopper
    const answer = await quick.app.inject({
      method: 'POST',
      url: `/api/v1/sales/${saleId}/orders`,
      headers: { cookie, 'x-forwarded-for': address, 'x-purchase-token': purchaseToken },
    })

    expect(answer.statusCode).toBe(202)
    const ofRequests = timeouts.mock.calls.flatMap(([onTimeout], at) =>
      onTimeout.name === 'tellLate' ? [timeouts.mock.results[at]?.value as { _destroyed: boolean }] : [],
    )
    expect(ofRequests.map((timeout) => timeout._destroyed)).toEqual([true])
  } finally {
    timeouts.mockRestore()
  }
})
