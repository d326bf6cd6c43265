import { connect } from 'node:net'

import { beforeAll, describe, expect, it } from 'vitest'

import { addSale, unitsLeft, useOwnStores } from '../packages/core/test/own-stores.ts'
import { audit, isAtRest } from './audit.ts'
import { answers, useProcesses, type RunningProcess } from './running-blitzbuy.ts'
import { buy, makeShoppers, passGates, readOrder, type Answer, type Shopper } from './shoppers.ts'

const QUOTA = 50
const SHOPPERS = 500

const stores = useOwnStores()
const processes = useProcesses(stores)
let apis: [RunningProcess, RunningProcess]
let workers: [RunningProcess, RunningProcess]
let shoppers: Shopper[]

beforeAll(async () => {
  const started = await Promise.all([
    processes.startReady('api'),
    processes.startReady('api'),
    processes.startReady('order-worker'),
    processes.startReady('order-worker'),
    processes.startReady('stock-warmer'),
  ])
  apis = [started[0], started[1]]
  workers = [started[2], started[3]]
  shoppers = await makeShoppers(stores, SHOPPERS, (index) => api(index).origin)
}, 120_000)

const api = (index: number): RunningProcess => apis[index % 2] as RunningProcess
/** Not the one where this shopper has logged in. */
const otherApi = (index: number): RunningProcess => api(index + 1)

/** A sale whose stock the running stock-warmer has put into Redis. */
async function addWarmedSale(quota: number): Promise<number> {
  const saleId = await addSale(stores, { quota })
  await expect.poll(() => unitsLeft(stores, saleId), { timeout: 10_000 }).toBe(quota)
  await expect.poll(() => stores.redis.hget(`{sale:${saleId}}:stock`, 'state')).toBe('open')
  return saleId
}

async function expectAtRestAndRight(saleId: number, timeout = 30_000): Promise<void> {
  await expect.poll(() => isAtRest(stores, saleId), { timeout, interval: 100 }).toBe(true)
  expect(await audit(stores, saleId)).toEqual([])
}

describe('500 shoppers who race for 50 units over two apis and two workers', () => {
  it('get exactly 50 orders, and each of the 500 knows within two seconds', async () => {
    const saleId = await addWarmedSale(QUOTA)
    await passGates(stores, shoppers, saleId, (index) => api(index).origin)
    // As in a browser that has the page open: the connection stands before the rush.
    await Promise.all(
      shoppers.map((_, i) => fetch(`${otherApi(i).origin}/api/v1/time`).then((answer) => answer.text())),
    )

    const told = await Promise.all(shoppers.map((shopper, i) => buy(shopper, otherApi(i).origin, saleId)))

    expect(count(told, (answer) => answer.status === 202)).toBe(QUOTA)
    expect(count(told, (answer) => answer.status === 409 && answer.code === 'sold-out')).toBe(
      SHOPPERS - QUOTA,
    )
    expect(Math.max(...told.map((answer) => answer.tookMs))).toBeLessThan(2_000)

    for (const [i, { orderId }] of told.entries()) {
      if (!orderId) continue
      const state = () =>
        readOrder(shoppers[i] as Shopper, api(i).origin, orderId).then((order) => order.state)
      await expect.poll(state, { timeout: 10_000 }).toBe('awaiting_payment')
    }
    await expectAtRestAndRight(saleId)
  })

  it('get exactly 50 orders when an api and a worker are killed in the middle', async () => {
    const saleId = await addWarmedSale(QUOTA)
    await passGates(stores, shoppers, saleId, (index) => api(index).origin)

    const outcomes = shoppers.map(async (shopper, i) => {
      let answer = await buy(shopper, otherApi(i).origin, saleId)
      // Whoever does not know asks again, at whichever api is there, until they do.
      for (let attempt = 0; isUnknown(answer); attempt += 1) {
        await answers(`${api(attempt).healthUrl}/readyz`).catch(() => undefined)
        answer = await buy(shopper, api(attempt).origin, saleId, true)
      }
      return answer
    })
    // The middle: some units are gone, not all answers are given.
    await expect.poll(() => unitsLeft(stores, saleId), { interval: 1, timeout: 10_000 }).toBeLessThan(QUOTA)
    await Promise.all([apis[0].kill('SIGKILL'), workers[0].kill('SIGKILL')])
    await Promise.all([apis[0].restart(), workers[0].restart()])
    const told = await Promise.all(outcomes)

    await expectAtRestAndRight(saleId, 60_000)
    const winners = told.flatMap((answer, i) => (answer.orderId ? [{ i, orderId: answer.orderId }] : []))
    expect(winners).toHaveLength(QUOTA)
    expect(count(told, (answer) => answer.code === 'sold-out')).toBe(SHOPPERS - QUOTA)
    for (const { i, orderId } of winners) {
      expect(await readOrder(shoppers[i] as Shopper, api(i).origin, orderId)).toMatchObject({
        state: 'awaiting_payment',
      })
    }
  })
})

describe('a shopper whose connection was cut after sending', () => {
  it('is led to their order by asking again, although the sale has sold out since', async () => {
    const saleId = await addWarmedSale(2)
    const [cutOff, ...others] = shoppers as [Shopper, ...Shopper[]]
    await passGates(stores, shoppers.slice(0, 21), saleId, (index) => api(index).origin)

    await sendAndCut(cutOff, apis[0], saleId)
    await expect.poll(() => unitsLeft(stores, saleId)).toBe(1)
    const told = await Promise.all(
      others.slice(0, 20).map((shopper, i) => buy(shopper, api(i).origin, saleId)),
    )
    expect(count(told, (answer) => answer.status === 202)).toBe(1)

    const retry = await buy(cutOff, apis[1].origin, saleId, true)
    expect(retry).toMatchObject({ status: 200, orderId: expect.any(String) })
    await expectAtRestAndRight(saleId)
    expect(await readOrder(cutOff, apis[1].origin, retry.orderId ?? '')).toMatchObject({
      state: 'awaiting_payment',
    })
  })
})

function isUnknown(answer: Answer): boolean {
  return answer.status === 0 || answer.status >= 500
}

function count<T>(things: readonly T[], isOne: (thing: T) => boolean): number {
  return things.filter(isOne).length
}

/** Sends a whole purchase and hangs up without waiting for the answer. */
function sendAndCut(shopper: Shopper, at: RunningProcess, saleId: number): Promise<void> {
  const { hostname, port } = new URL(at.origin)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname)
    socket.on('error', reject)
    const request = `POST /api/v1/sales/${saleId}/orders HTTP/1.1\r\nHost: ${hostname}\r\nCookie: ${shopper.cookie}\r\nX-Purchase-Token: ${shopper.tokens.get(saleId) ?? ''}\r\nContent-Length: 0\r\n\r\n`
    socket.write(request, () => {
      socket.destroy()
      resolve()
    })
  })
}
