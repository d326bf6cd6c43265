import Fastify from 'fastify'
import { expect, it, onTestFinished } from 'vitest'

import loadShedding from './load-shedding.ts'

const NEVER_LATE = {
  SHED_BROWSING_DELAY_MS: 60_000,
  SHED_LOGINS_DELAY_MS: 60_000,
  SHED_PURCHASES_DELAY_MS: 60_000,
}

it('gives up who is new before who wants to pay, while the line for MySQL is long', async () => {
  let lineMs = 0
  const app = Fastify()
  onTestFinished(() => app.close())
  await app.register(loadShedding, { thresholds: NEVER_LATE, mysqlPool: { lineMs: () => lineMs } })
  app.get('/sales', () => 'list')
  app.post('/auth/login', () => 'in')
  app.post('/sales/:saleId/orders', () => 'bought')
  app.post('/orders/:orderId/payments', () => 'paid')
  app.get('/orders/:orderId', () => 'order')
  const statuses = () =>
    Promise.all(
      [
        { method: 'GET', url: '/sales' } as const,
        { method: 'POST', url: '/auth/login' } as const,
        { method: 'POST', url: '/sales/1/orders' } as const,
        { method: 'POST', url: '/orders/1/payments' } as const,
        { method: 'GET', url: '/orders/1' } as const,
      ].map(async (asked) => (await app.inject(asked)).statusCode),
    )
  const expectStatuses = (expected: number[]) => expect.poll(statuses, { timeout: 20_000 }).toEqual(expected)

  await expectStatuses([200, 200, 200, 200, 200])
  lineMs = 430
  await expectStatuses([503, 200, 200, 200, 200])
  lineMs = 5_000
  await expectStatuses([503, 503, 200, 200, 200])
  lineMs = 0
  await expectStatuses([200, 200, 200, 200, 200])
})

it('does not ask again who has asked before the hooks', async () => {
  const app = Fastify()
  onTestFinished(() => app.close())
  app.addHook('onRequest', (request, reply, done) => {
    const { asks } = request.query as { asks?: 'login' | 'purchase' }
    if (asks) reply.header('gives-up', app.givesUp(request.raw, asks) ?? 'no')
    done()
  })
  await app.register(loadShedding, { thresholds: NEVER_LATE, mysqlPool: { lineMs: () => 5_000 } })
  app.post('/auth/login', () => 'in')
  const logIn = (query = '') => app.inject({ method: 'POST', url: `/auth/login${query}` })
  await expect.poll(async () => (await logIn()).statusCode, { timeout: 20_000 }).toBe(503)

  const asked = await logIn('?asks=login')
  expect(asked.statusCode).toBe(200)
  expect(Number(asked.headers['gives-up'])).toBeGreaterThan(0)
  expect((await logIn('?asks=purchase')).headers['gives-up']).toBe('no')
})
