import { fileURLToPath } from 'node:url'

import { beforeAll, describe, expect, it, vi } from 'vitest'

import { addSale, unitsLeft, useOwnStores } from '../packages/core/test/own-stores.ts'
import { audit, isAtRest } from './audit.ts'
import { passGate } from './pass-gate.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'
import { buy, makeShoppers, type Shopper } from './shoppers.ts'

const HOUR_MS = 3_600_000
const shiftClock = fileURLToPath(new URL('shift-clock.mjs', import.meta.url))

const stores = useOwnStores()
const system = useProcesses(stores, { PUBLIC_ORIGIN: 'http://localhost:3000' })
let ahead: RunningProcess
let behind: RunningProcess
let shopper: Shopper

/** A host whose clock, time zone and language are its own. */
const unlike = (shiftMs: number, zone: string, locale: string) => ({
  NODE_OPTIONS: `--import=${shiftClock}`,
  CLOCK_SHIFT_MS: String(shiftMs),
  TZ: zone,
  LANG: locale,
  LC_ALL: locale,
})
const east = unlike(HOUR_MS, 'Asia/Shanghai', 'zh_CN.UTF-8')
const west = unlike(-HOUR_MS, 'America/New_York', 'de_DE.UTF-8')

beforeAll(async () => {
  ahead = await system.startReady('api', east)
  behind = await system.startReady('api', west)
  // Who places an order and who warms a sale do not agree about the time either.
  await system.startReady('order-worker', east)
  await system.startReady('stock-warmer', west)
  const [made] = await makeShoppers(stores, 1, () => ahead.origin)
  shopper = made as Shopper
}, 180_000)

async function read(host: RunningProcess, path: string, headers: Record<string, string> = {}) {
  const answer = await fetch(host.origin + path, { headers: { cookie: shopper.cookie, ...headers } })
  return { status: answer.status, text: await answer.text() }
}
const json = async (host: RunningProcess, path: string) =>
  JSON.parse((await read(host, path)).text) as Record<string, unknown> & { nowMs: number }

describe('two api hosts whose clocks are two hours apart, with other time zones and languages', () => {
  it('are wrong about the time themselves, and tell the same time', async () => {
    // A host's log has the host's own time: the shift is really there.
    const startedAtMs = (host: RunningProcess) => Number(/"time":(\d+)/.exec(host.output())?.[1])
    expect(startedAtMs(ahead) - startedAtMs(behind)).toBeGreaterThan(1.5 * HOUR_MS)

    const [{ nowMs }, { nowMs: otherMs }] = await Promise.all([
      json(ahead, '/api/v1/time'),
      json(behind, '/api/v1/time'),
    ])
    expect(Math.abs(nowMs - otherMs)).toBeLessThan(5_000)
    expect(Math.abs(nowMs - Date.now())).toBeLessThan(10_000)
  })

  it('know the same people: who logs in at one is known at the other, and logged out at both', async () => {
    const [leaving] = (await makeShoppers(stores, 1, () => behind.origin, 1_000)) as [Shopper]
    const me = (host: RunningProcess) => read(host, '/api/v1/me', { cookie: leaving.cookie })
    expect((await me(ahead)).status).toBe(200)
    await fetch(`${ahead.origin}/api/v1/auth/logout`, { method: 'POST', headers: { cookie: leaving.cookie } })
    await expect.poll(async () => (await me(behind)).status, { timeout: 10_000 }).toBe(401)
  })

  it('open a sale at the same moment, show it alike, and sell one unit of it to one person', async () => {
    const opensAtMs = Date.now() + 15_000
    const saleId = await addSale(stores, {
      quota: 5,
      opensAt: new Date(opensAtMs),
      closesAt: new Date(opensAtMs + 2 * HOUR_MS),
    })
    await vi.waitUntil(async () => (await unitsLeft(stores, saleId)) === 5, { timeout: 10_000 })
    // The captcha from one host, its answer and the token from it, the purchase at the other.
    shopper.tokens.set(saleId, await passGate(stores, ahead.origin, shopper.cookie, saleId, shopper.address))
    for (const host of [ahead, behind]) {
      if ((await json(host, '/api/v1/time')).nowMs > opensAtMs - 500) continue
      expect(await buy(shopper, host.origin, saleId)).toMatchObject({ status: 409, code: 'sale-not-open' })
    }

    await expect
      .poll(async () => (await buy(shopper, behind.origin, saleId)).status, {
        timeout: 40_000,
        interval: 200,
      })
      .toBe(202)
    expect((await json(behind, '/api/v1/time')).nowMs).toBeGreaterThanOrEqual(opensAtMs)
    const again = await buy(shopper, ahead.origin, saleId)
    expect(again.status).toBe(200)

    const order = (host: RunningProcess) => json(host, `/api/v1/orders/${again.orderId}`)
    await expect.poll(async () => (await order(ahead)).state, { timeout: 20_000 }).toBe('awaiting_payment')
    expect(await order(behind)).toEqual(await order(ahead))
    // The time to pay begins at the order, by MySQL's clock: not two hours ago, not in two hours.
    const payBeforeMs = (await order(ahead)).payBeforeMs as number
    expect(Math.abs(payBeforeMs - 900_000 - Date.now())).toBeLessThan(60_000)

    const sale = async (host: RunningProcess) => ({
      ...(await json(host, `/api/v1/sales/${saleId}`)),
      nowMs: 0,
    })
    await expect.poll(() => sale(behind), { timeout: 10_000 }).toEqual(await sale(ahead))
    await expect.poll(() => isAtRest(stores, saleId), { timeout: 30_000 }).toBe(true)
    expect(await audit(stores, saleId)).toEqual([])
  })

  it('send the same page: times and amounts do not follow the host', async () => {
    const page = async (host: RunningProcess) => withoutWhatDiffers((await read(host, '/')).text)
    expect(await page(behind)).toBe(await page(ahead))
  })
})

/** What is new with every page, wherever it comes from: tokens of forms, and the moment it was made. */
function withoutWhatDiffers(html: string): string {
  return html
    .replaceAll(/(name="formToken" value=")[^"]*/g, '$1')
    .replaceAll(/(data-now-ms=")\d+/g, '$1')
    .replaceAll(/\b1\d{12}\b/g, '')
}
