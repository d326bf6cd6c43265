import { Signer } from '@fastify/cookie'
import { describe, expect, it } from 'vitest'

import { addSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { passGate } from './pass-gate.ts'
import { useProcesses } from './running-blitzbuy.ts'

const NOBODY_LISTENS = {
  MYSQL_URL: 'mysql://u:p@127.0.0.1:1/db',
  REDIS_URL: 'redis://127.0.0.1:1',
  AMQP_URL: 'amqp://127.0.0.1:1',
}
const SECRET = 's'.repeat(32)
const stores = useOwnStores()
const processes = useProcesses(stores, { SESSION_SECRETS: SECRET })

/** A cookie whose signature is good, so that the store behind it must be asked. */
const cookie = `blitz=${encodeURIComponent(new Signer([SECRET]).sign('a-session-id'))}`

async function call(origin: string, method: string, path: string, body?: object) {
  const beganMs = performance.now()
  const answer = await fetch(origin + path, {
    method,
    headers: { cookie, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
    redirect: 'manual',
  })
  const text = await answer.text()
  return { status: answer.status, text, headers: answer.headers, tookMs: performance.now() - beganMs }
}

describe('an api whose stores are away', () => {
  it('refuses with 503 and Retry-After within two seconds, on every route that needs them, and says it is not ready', async () => {
    const { origin, healthUrl } = await processes.start('api', NOBODY_LISTENS)
    const credentials = { phone: '+86 138 0013 8000', password: 'long enough' }
    const calls = await Promise.all([
      call(origin, 'GET', '/api/v1/sales'),
      call(origin, 'GET', '/api/v1/sales/1'),
      call(origin, 'POST', '/api/v1/auth/login', credentials),
      call(origin, 'POST', '/api/v1/auth/register', credentials),
      call(origin, 'GET', '/api/v1/me'),
      call(origin, 'GET', '/api/v1/orders'),
      call(origin, 'POST', '/api/v1/sales/1/orders'),
      call(origin, 'GET', '/'),
    ])
    for (const { status, headers, tookMs } of calls) {
      expect(status).toBe(503)
      expect(headers.get('retry-after')).toBe('1')
      expect(tookMs).toBeLessThan(2_000)
    }
    expect(JSON.parse(calls[0].text)).toMatchObject({ code: 'dependency-unavailable' })

    const ready = await fetch(`${healthUrl}/readyz`)
    expect(ready.status).toBe(503)
    expect(await ready.json()).toMatchObject({ checks: { mysql: 'away', redis: 'away' } })
    expect((await fetch(`${healthUrl}/livez`)).status).toBe(200)
  })

  it('sells on through the ledger when only RabbitMQ is away', async () => {
    const saleId = await addSale(stores, { quota: 5 })
    const warmer = await processes.start('stock-warmer', { AMQP_URL: NOBODY_LISTENS.AMQP_URL })
    await expect
      .poll(() => stores.redis.hget(`{sale:${saleId}}:stock`, 'state'), { timeout: 10_000 })
      .toBe('open')
    const api = await processes.startReady('api', { AMQP_URL: NOBODY_LISTENS.AMQP_URL })

    const registered = await fetch(`${api.origin}/api/v1/auth/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ phone: '+86 138 0013 8001', password: 'long enough' }),
    })
    const [session] = registered.headers.getSetCookie()
    const cookie = session?.split(';')[0] ?? ''
    const token = await passGate(stores, api.origin, cookie, saleId)
    const bought = await fetch(`${api.origin}/api/v1/sales/${saleId}/orders`, {
      method: 'POST',
      headers: { cookie, 'x-purchase-token': token },
    })
    expect([bought.status, await bought.json()]).toEqual([
      202,
      expect.objectContaining({ handoff: 'ledger' }),
    ])

    // A worker and a warmer that reach the broker bring it to its end.
    await warmer.kill('SIGTERM')
    await Promise.all([processes.startReady('order-worker'), processes.startReady('stock-warmer')])
    await expect.poll(() => stores.redis.hlen(`{sale:${saleId}}:unsettled`), { timeout: 30_000 }).toBe(0)
  })
})

describe.each(['order-worker', 'stock-warmer'] as const)('%s whose stores are away', (name) => {
  it('runs, says that it is not ready, and ends at once when it is told to', async () => {
    const started = await processes.start(name, NOBODY_LISTENS)
    const ready = await fetch(`${started.healthUrl}/readyz`)
    expect(ready.status).toBe(503)
    expect(await ready.json()).toMatchObject({ checks: { mysql: 'away', redis: 'away', rabbitmq: 'away' } })
    const beganMs = performance.now()
    await started.kill('SIGTERM')
    expect(performance.now() - beganMs).toBeLessThan(9_000)
  })
})
