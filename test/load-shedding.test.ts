import { setTimeout as pause } from 'node:timers/promises'

import { describe, expect, it } from 'vitest'

import { addSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'

const stores = useOwnStores()
const processes = useProcesses(stores)

/** An event loop that is late: the process stands still again and again, for `stoppedMs` each time. */
async function whileLate<T>(api: RunningProcess, stoppedMs: number, work: () => Promise<T>): Promise<T> {
  let isOver = false
  const stopping = (async () => {
    while (!isOver) {
      process.kill(api.pid, 'SIGSTOP')
      await pause(stoppedMs)
      process.kill(api.pid, 'SIGCONT')
      await pause(20)
    }
  })()
  try {
    return await work()
  } finally {
    isOver = true
    await stopping
  }
}

interface Asked {
  code: string | undefined
  retryAfter: string | null
}

async function ask(url: string, init: RequestInit = {}): Promise<Asked> {
  const answer = await fetch(url, init)
  const body = await answer.text()
  const isProblem = answer.headers.get('content-type')?.startsWith('application/problem+json')
  const { code } = (isProblem ? JSON.parse(body) : {}) as { code?: string }
  return { code, retryAfter: answer.headers.get('retry-after') }
}

/** What browsing, a login and a purchase are told, asked at the same time. */
async function askAll({ origin }: RunningProcess, saleId: number): Promise<(string | undefined)[]> {
  const post = (path: string, body: object): Promise<Asked> =>
    ask(`${origin}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const told = await Promise.all([
    ask(`${origin}/api/v1/sales`),
    post('/api/v1/auth/login', { phone: 'nobody', password: 'x' }),
    post(`/api/v1/sales/${saleId}/orders`, {}),
  ])
  for (const { code, retryAfter } of told) if (code === 'overloaded') expect(retryAfter).toMatch(/^[1-6]$/)
  return told.map(({ code }) => (code === 'overloaded' ? code : 'answered'))
}

describe('an api whose event loop is late', () => {
  it('gives up browsing first, then logins, and purchases last; and takes all of them again afterwards', async () => {
    const saleId = await addSale(stores)
    const thresholds = (browsing: number, logins: number, purchases: number) => ({
      SHED_BROWSING_DELAY_MS: String(browsing),
      SHED_LOGINS_DELAY_MS: String(logins),
      SHED_PURCHASES_DELAY_MS: String(purchases),
    })
    const expectTold = (api: RunningProcess, expected: string[]) =>
      expect.poll(() => askAll(api, saleId), { timeout: 40_000, interval: 20 }).toEqual(expected)

    const browsing = await processes.startReady('api', thresholds(20, 30_000, 60_000))
    await whileLate(browsing, 150, () => expectTold(browsing, ['overloaded', 'answered', 'answered']))
    await expectTold(browsing, ['answered', 'answered', 'answered'])
    await browsing.kill('SIGTERM')

    const logins = await processes.startReady('api', thresholds(20, 21, 60_000))
    await whileLate(logins, 150, () => expectTold(logins, ['overloaded', 'overloaded', 'answered']))

    // Somebody who looks for a page gets one.
    await whileLate(logins, 150, () =>
      expect
        .poll(
          async () => {
            const answer = await fetch(logins.origin, { headers: { accept: 'text/html' } })
            return [answer.status, (await answer.text()).includes('<h1')]
          },
          { timeout: 40_000, interval: 20 },
        )
        .toEqual([503, true]),
    )
    await logins.kill('SIGTERM')

    const purchases = await processes.startReady('api', thresholds(20, 21, 22))
    await whileLate(purchases, 150, () => expectTold(purchases, ['overloaded', 'overloaded', 'overloaded']))
    await expectTold(purchases, ['answered', 'answered', 'answered'])
  })
})
