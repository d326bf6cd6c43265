import type { AddressInfo } from 'node:net'

import { createAttemptLog } from '../src/attempt-log.ts'
import { createApiMetrics } from '../src/api-metrics.ts'
import { beforeAll, describe, expect, it } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import { newOperator, promote, type OperatorAtWork } from './operator-at-work.ts'
import { newShopper, passGate, useApiOn, useOwnApi } from './own-api.ts'

const api = useOwnApi()
const other = useApiOn(api.stores)
let operator: OperatorAtWork
let origin: string
beforeAll(async () => {
  operator = await newOperator(api)
  await api.app.listen({ host: '127.0.0.1', port: 0 })
  origin = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`
}, 60_000)

interface Event {
  name: string
  data: {
    lastSecond?: { second: number; outcomes: Record<string, number> }
    skipped?: { second: number; outcomes: Record<string, number> }[]
    stock?: { unitsLeft: number }
  }
}

/** The events of a stream until one is what is waited for, or it ends. */
async function listen(saleId: number, cookie: string, isLast: (event: Event) => boolean): Promise<Event[]> {
  const aborting = new AbortController()
  const answer = await fetch(`${origin}/api/v1/admin/sales/${saleId}/events`, {
    headers: { cookie, 'x-forwarded-for': operator.address },
    signal: AbortSignal.any([aborting.signal, AbortSignal.timeout(30_000)]),
  })
  expect(answer.headers.get('content-type')).toContain('text/event-stream')
  const events: Event[] = []
  let text = ''
  for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    const parts = text.split('\n\n')
    text = parts.pop() ?? ''
    for (const part of parts) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? []
      if (!name || !data) continue
      const event = { name, data: JSON.parse(data) as Event['data'] }
      events.push(event)
      if (isLast(event)) {
        aborting.abort()
        return events
      }
    }
  }
  return events
}

const buy = async (from: typeof api, saleId: number) => {
  const shopper = await newShopper(from)
  shopper.purchaseToken = await passGate(from, shopper, saleId)
  return shopper.call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders`, payload: {} })
}

describe('the live page of a sale', () => {
  it('counts what every instance accepts and refuses, once each', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 2 })
    const seen: Record<string, number> = {}
    const listening = listen(saleId, operator.cookie, ({ name, data }) => {
      if (name !== 'figures') return false
      for (const { outcomes } of [...(data.skipped ?? []), ...(data.lastSecond ? [data.lastSecond] : [])])
        for (const [outcome, count] of Object.entries(outcomes)) seen[outcome] = (seen[outcome] ?? 0) + count
      return (seen['reserved'] ?? 0) + (seen['sold_out'] ?? 0) >= 4
    })
    for (const from of [api, other, other, api]) await buy(from, saleId)
    const events = await listening
    expect(events.map(({ name }) => name).slice(0, 2)).toEqual(['history', 'figures'])
    expect(seen).toEqual({ reserved: 2, sold_out: 2 })
    expect(events.at(-1)?.data.stock?.unitsLeft).toBe(0)

    // For whoever comes later, or has no script.
    const page = await operator.page(`/admin/sales/${saleId}/live`)
    expect(page.statusCode).toBe(200)
    const cells = /data-outcome="reserved".*?<\/tr>/s.exec(page.body)?.[0].match(/\d+(?=<\/td>)/g)
    expect(cells?.at(-1)).toBe('2')
    expect(page.body).toContain('<noscript><meta http-equiv="refresh" content="5"></noscript>')
  })

  it('goes dark for whoever is no longer an operator', async () => {
    const saleId = await addWarmSale(api.stores)
    const colleague = await newOperator(api)
    let isDemoted = false
    const events = await listen(saleId, colleague.cookie, ({ name }) => {
      if (name === 'figures' && !isDemoted) {
        isDemoted = true
        void api.stores.mysql.use(({ connection }) =>
          connection.query("UPDATE users SET role = 'shopper' WHERE id = ?", [colleague.userId]),
        )
      }
      return false
    })
    expect(events.at(-1)?.name).toBe('login')
    await promote(api, colleague)
  })

  it('is told nothing twice when Redis does not answer in time', async () => {
    const saleId = await addWarmSale(api.stores)
    const metrics = createApiMetrics('test')
    const nowMs = 1_700_000_000_000
    const clock = { nowMs: () => nowMs }
    const log = createAttemptLog({ redis: api.stores.redis, metrics, clock })
    metrics.purchase(saleId, 'reserved')
    await Promise.all([log.write(), log.write()])
    await log.write()
    const second = nowMs / 1000
    expect(await log.read(saleId, second - 60, second)).toEqual([{ second, outcomes: { reserved: 1 } }])
    expect(await log.readTimes(second - 60, second)).toBeUndefined()
  })
})
