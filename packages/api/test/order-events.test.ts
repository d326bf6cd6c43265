import type { AddressInfo } from 'node:net'

import { orderKey, stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { beforeAll, describe, expect, it, vi } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import { newShopper, passGate, useApiOn, useOwnApi, type OwnApi, type Shopper } from './own-api.ts'
import { decideQueued, placeQueued } from './place-queued.ts'

// Half of the idle time is the heartbeat.
const LIMITS = { IDLE_TIMEOUT_MS: '2000', STREAMS_PER_USER: '3' }
const api = useOwnApi(LIMITS)
const other = useApiOn(api.stores, LIMITS)
const small = useApiOn(api.stores, { ...LIMITS, STREAMS_MAX: '1' })
const origins = new Map<OwnApi, string>()

beforeAll(async () => {
  for (const one of [api, other, small]) {
    await one.app.listen({ port: 0, host: '127.0.0.1' })
    origins.set(one, `http://127.0.0.1:${(one.app.server.address() as AddressInfo).port}`)
  }
})

interface Event {
  name: string
  id: string | undefined
  data: { state?: string; aheadAbout?: number; amountCents?: number }
}

/** Reads a stream as an EventSource does. */
async function listen(shopper: Shopper, orderId: string, at = api, headers: Record<string, string> = {}) {
  const leaving = new AbortController()
  const answer = await fetch(`${origins.get(at)}/api/v1/orders/${orderId}/events`, {
    signal: leaving.signal,
    headers: { cookie: shopper.cookie, accept: 'text/event-stream', ...headers },
  })
  const events: Event[] = []
  let hasEnded = false
  const reading = (async () => {
    let text = ''
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString()
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
        const [name, data] = [field('event'), field('data')]
        if (name && data) events.push({ name, id: field('id'), data: JSON.parse(data) as Event['data'] })
      }
    }
    hasEnded = true
  })()
  reading.catch(() => undefined)
  const states = () => events.flatMap(({ name, data }) => (name === 'order' ? [data.state] : []))
  return {
    answer,
    events,
    states,
    hasEnded: () => hasEnded,
    leave: () => leaving.abort(),
  }
}

async function order(): Promise<{ shopper: Shopper; saleId: number; orderId: string }> {
  const saleId = await addWarmSale(api.stores)
  const shopper = await newShopper(api)
  return { shopper, saleId, orderId: await buy(shopper, saleId) }
}

async function buy(shopper: Shopper, saleId: number): Promise<string> {
  const purchaseToken = await passGate(api, shopper, saleId)
  const bought = await shopper.call({
    method: 'POST',
    url: `/api/v1/sales/${saleId}/orders`,
    headers: { 'x-purchase-token': purchaseToken },
  })
  expect(bought.statusCode).toBe(202)
  return bought.json<{ orderId: string }>().orderId
}

describe('the events of an order', () => {
  it('tell each state once, on whatever instance the buyer waits, and end when it can be paid', async () => {
    const { shopper, saleId, orderId } = await order()
    const streams = await Promise.all([listen(shopper, orderId), listen(shopper, orderId, other)])
    for (const { answer, states } of streams) {
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-type')).toContain('text/event-stream')
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(answer.headers.get('x-accel-buffering')).toBe('no')
      await expect.poll(states).toEqual(['queued'])
    }

    await placeQueued(api.stores, saleId)
    for (const { states, events, hasEnded } of streams) {
      await expect.poll(hasEnded).toBe(true)
      expect(states()).toEqual(['queued', 'awaiting_payment'])
      expect(events.at(-1)).toMatchObject({ id: '2', data: { orderId, amountCents: 4_900 } })
    }
    await expect.poll(() => api.core.orderStreams.count() + other.core.orderStreams.count()).toBe(0)
  })

  it('tell who comes late where it stands, and who has heard it all not to come again', async () => {
    const { shopper, saleId, orderId } = await order()
    await placeQueued(api.stores, saleId)
    const late = await listen(shopper, orderId, api, { 'last-event-id': '1' })
    await expect.poll(late.hasEnded).toBe(true)
    expect(late.states()).toEqual(['awaiting_payment'])
    const again = await listen(shopper, orderId, api, { 'last-event-id': '2' })
    expect(again.answer.status).toBe(204)
    const junk = await listen(shopper, orderId, api, { 'last-event-id': 'junk' })
    await expect.poll(junk.states).toEqual(['awaiting_payment'])
  })

  it('cost one read of MySQL for a settled batch, however many of its buyers wait', async () => {
    const saleId = await addWarmSale(api.stores)
    const shoppers = await Promise.all(Array.from({ length: 8 }, () => newShopper(api)))
    const streams = await Promise.all(
      shoppers.map(async (shopper) => listen(shopper, await buy(shopper, saleId))),
    )
    for (const { states } of streams) await expect.poll(states).toEqual(['queued'])
    const read = vi.spyOn(api.core.orders, 'findAll')
    try {
      await placeQueued(api.stores, saleId)
      for (const { hasEnded } of streams) await expect.poll(hasEnded).toBe(true)
      expect(read).toHaveBeenCalledTimes(1)
    } finally {
      read.mockRestore()
    }
  })

  it('come although the message of the worker was never heard, and the connection is never silent for long', async () => {
    const { shopper, saleId, orderId } = await order()
    const stream = await listen(shopper, orderId)
    await expect.poll(() => stream.events.some(({ name }) => name === 'ahead'), { timeout: 8_000 }).toBe(true)
    expect(stream.events.find(({ name }) => name === 'ahead')?.data).toEqual({ aheadAbout: 0 })

    await decideQueued(api.stores, saleId)
    // As settle does, but without a word.
    await api.stores.redis.hset(orderKey(saleId, orderId), 'state', 'placed')
    await api.stores.redis.hdel(stockKeys(saleId).unsettled, orderId)
    await expect.poll(stream.states, { timeout: 8_000 }).toEqual(['queued', 'awaiting_payment'])
  })

  it('are read again when the read after the message failed', async () => {
    const { shopper, saleId, orderId } = await order()
    const stream = await listen(shopper, orderId)
    await expect.poll(stream.states).toEqual(['queued'])
    const read = vi.spyOn(api.core.orders, 'findAll').mockRejectedValueOnce(new Error('away'))
    try {
      await placeQueued(api.stores, saleId)
      await expect.poll(stream.states, { timeout: 8_000 }).toEqual(['queued', 'awaiting_payment'])
    } finally {
      read.mockRestore()
    }
  })

  it("are nobody else's, and nobody's without a session", async () => {
    const { orderId } = await order()
    expect((await listen(await newShopper(api), orderId)).answer.status).toBe(404)
    const stranger = { cookie: '' } as Shopper
    expect((await listen(stranger, orderId)).answer.status).toBe(401)
  })

  it('end with the session', async () => {
    const { shopper, orderId } = await order()
    const stream = await listen(shopper, orderId, other)
    await expect.poll(stream.states).toEqual(['queued'])
    await shopper.call({ method: 'POST', url: '/api/v1/auth/logout' })
    await expect.poll(stream.hasEnded).toBe(true)
  })

  it('are open so often for one user, and so often in all; whoever gets none is told when to ask again', async () => {
    const { shopper, orderId } = await order()
    const streams = await Promise.all([1, 2, 3].map(() => listen(shopper, orderId)))
    const capped = await listen(shopper, orderId)
    expect([capped.answer.status, capped.answer.headers.get('retry-after')]).toEqual([429, '5'])
    for (const { leave } of streams) leave()
    await expect.poll(() => api.core.orderStreams.count()).toBe(0)

    const kept = await listen(shopper, orderId, small)
    const full = await listen(shopper, orderId, small)
    expect([full.answer.status, full.answer.headers.get('retry-after')]).toEqual([503, '5'])
    kept.leave()
    await expect.poll(() => small.core.orderStreams.count()).toBe(0)
    const next = await listen(shopper, orderId, small)
    expect(next.answer.status).toBe(200)
  })

  it('end when the instance ends, which waits for none of them', async () => {
    const { shopper, orderId } = await order()
    const stream = await listen(shopper, orderId, other)
    await expect.poll(stream.states).toEqual(['queued'])
    const beganMs = performance.now()
    await other.app.close()
    expect(performance.now() - beganMs).toBeLessThan(5_000)
    await expect.poll(stream.hasEnded).toBe(true)
  })
})
