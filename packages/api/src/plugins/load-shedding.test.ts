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
