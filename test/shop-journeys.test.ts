import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'

import { addSale, addWarmSale, unitsLeft, useOwnStores } from '../packages/core/test/own-stores.ts'
import { audit, isAtRest } from './audit.ts'
import { readCaptcha } from './pass-gate.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'
import { PATIENT, logInAs, newVisit, solveCheck, untilState, useBrowser } from './shop-browser.ts'

const stores = useOwnStores()
const processes = useProcesses(stores, PATIENT)
const held = useBrowser()
let api: RunningProcess
let worker: RunningProcess
/** Has no place for a stream of events. */
let pollingApi: RunningProcess

const CHINA = { locale: 'zh-CN', timezoneId: 'Asia/Shanghai' }
const QUEUED = 'You are next. You can leave this page; the result is saved under My orders.'
const SOON_MS = 16_000

beforeAll(async () => {
  const secrets = Object.fromEntries(
    ['SESSION_SECRETS', 'ORDER_ID_SECRETS', 'PURCHASE_TOKEN_SECRETS'].map((name) => [name, 'x'.repeat(40)]),
  )
  ;[api, pollingApi, worker] = await Promise.all([
    processes.startReady('api', secrets),
    processes.startReady('api', { ...secrets, STREAMS_MAX: '0' }),
    processes.startReady('order-worker'),
    processes.startReady('stock-warmer'),
  ])
}, 60_000)

/** Everything that the live regions of a page say, in order, as a screen reader would. */
async function listen(page: Page): Promise<() => Promise<string[]>> {
  await page.addInitScript(`
    addEventListener('DOMContentLoaded', () => {
      const said = (sessionStorage.getItem('said') ?? '').split('\\n').filter(Boolean)
      for (const region of document.querySelectorAll('[data-announcer], [data-announcer-now]')) {
        new MutationObserver(() => {
          said.push(region.textContent)
          sessionStorage.setItem('said', said.join('\\n'))
        }).observe(region, { childList: true, characterData: true, subtree: true })
      }
    })
  `)
  return async () => ((await page.evaluate(`sessionStorage.getItem('said') ?? ''`)) as string).split('\n')
}

async function isAudited(saleId: number): Promise<void> {
  await expect.poll(() => isAtRest(stores, saleId), { timeout: 10_000 }).toBe(true)
  expect(await audit(stores, saleId)).toEqual([])
}

describe('a shopper', () => {
  it('hears every change from the last minute to the payment, and nothing twice', async () => {
    const saleId = await addSale(stores, { quota: 5, opensAt: new Date(Date.now() + SOON_MS) })
    const { page, problems } = await newVisit(held, api)
    const said = await listen(page)
    await logInAs(page, api)
    await page.goto(`/sales/${saleId}`)
    await solveCheck(page, stores, 'work')
    await untilState(page, 'ready')
    // So that the order waits, and the page with it.
    await worker.kill('SIGTERM')
    try {
      await untilState(page, 'open_ready', SOON_MS + 10_000)
      await page.locator('[data-control]').click()
      await page.waitForURL('**/orders/*')
      await expect.poll(said).toContain(QUEUED)
    } finally {
      await worker.restart()
    }
    await untilState(page, 'awaiting_payment', 30_000)

    const opens = String.raw`[A-Z][a-z]{2} \d+, \d{4}, \d+:\d\d [AP]M E[SD]T`
    const expected = [
      `Your check is done. Your check is done. Opens at ${opens}: we'll enable Buy automatically.`,
      'The sale opens in 10 seconds.',
      'The sale is open. The Buy now button is available.',
      'Sending your order…',
      QUEUED,
      "It's yours. Pay before the time is over, or your units go back on sale.",
    ]
    await expect.poll(said).toHaveLength(expected.length)
    for (const [at, sentence] of (await said()).entries())
      expect(sentence).toMatch(new RegExp(`^${expected[at]}$`))
    // Whoever pressed Buy was led to what came of it.
    expect(await page.evaluate('document.activeElement.localName')).toBe('h1')
    expect(problems).toEqual([])
    await isAudited(saleId)
  })

  it('buys and pays by keyboard alone', async () => {
    const saleId = await addWarmSale(stores)
    const { page, problems } = await newVisit(held, api)
    await logInAs(page, api)
    await page.goto(`/sales/${saleId}`)
    const reach = async (selector: string): Promise<void> => {
      for (let presses = 0; presses < 40; presses += 1) {
        await page.keyboard.press('Tab')
        if (await page.locator(`${selector}:focus-visible`).count()) return
      }
      throw new Error(`${selector} cannot be reached by Tab`)
    }
    const challenged = page.waitForResponse((answer) => answer.url().endsWith('/captchas'))
    await reach('[data-control]')
    await page.keyboard.press('Enter')
    const { captchaId } = (await (await challenged).json()) as { captchaId: string }
    const answer = page.locator('[data-check-form] [name=answer]:focus')
    await answer.waitFor()
    await page.keyboard.type(await readCaptcha(stores, captchaId))
    await page.keyboard.press('Enter')

    await untilState(page, 'awaiting_payment', 20_000)
    await reach('form[action$="/pay"] button')
    await page.keyboard.press('Enter')
    await page.waitForURL('**/sandbox-payments/*')
    await reach('button[value=pay]')
    await page.keyboard.press('Enter')
    await untilState(page, 'paid')
    expect(problems).toEqual([])
    await isAudited(saleId)
  })

  it('reads, buys and pays in Chinese, with the times of their own zone', async () => {
    const saleId = await addWarmSale(stores, { currency: 'CNY' })
    const { page, problems } = await newVisit(held, api, CHINA)
    await logInAs(page, api)
    await page.goto(`/sales/${saleId}`)
    await page.getByRole('button', { name: '验证并抢购' }).waitFor()
    const main = page.getByRole('main')
    expect(await main.innerText()).toMatch(/¥49\.00[\s\S]*GMT\+8[\s\S]*每人限购/)
    await solveCheck(page, stores)
    await page.getByRole('heading', { name: '抢到了！' }).waitFor({ timeout: 20_000 })
    await page.getByRole('button', { name: '立即付款 ¥49.00' }).click()
    await page.getByRole('button', { name: '支付 ¥49.00', exact: true }).click()
    await page.getByRole('heading', { name: '付款成功' }).waitFor()

    // The switch is remembered, and stands above what the browser would like.
    await page.getByRole('link', { name: 'English' }).click()
    await page.getByRole('heading', { name: 'Paid. Thank you!' }).waitFor()
    expect(await main.innerText()).toMatch(/CN¥49\.00[\s\S]*GMT\+8/)
    await page.goto('/')
    await page.getByRole('heading', { name: 'Sales', exact: true }).waitFor()
    await page.getByRole('link', { name: '简体中文' }).click()
    await page.getByRole('heading', { name: '抢购活动' }).waitFor()
    expect(problems).toEqual([])
  })

  it('reads in Chinese and buys without JavaScript', async () => {
    const saleId = await addWarmSale(stores)
    const { page, problems } = await newVisit(held, api, { ...CHINA, javaScriptEnabled: false })
    const link = page.locator(`a[href="/sales/${saleId}"]`)
    // What everybody sees is up to two seconds old.
    await expect
      .poll(async () => (await page.goto('/'), link.count()), { timeout: 10_000 })
      .toBeGreaterThan(0)
    await link.first().click()
    await page.getByRole('button', { name: '登录后抢购' }).click()
    await page.waitForURL('**/login?next=**')
    await logInAs(page, api)
    await page.goto(`/sales/${saleId}`)
    await page.getByRole('button', { name: '验证并抢购' }).click()
    const captchaId = await page.locator('[name=captchaId]').getAttribute('value')
    await page.getByLabel('图片中的字母和数字').fill(await readCaptcha(stores, captchaId ?? ''))
    await page.getByRole('button', { name: '提交验证' }).click()
    await page.getByRole('button', { name: '立即抢购' }).click()
    await page.getByRole('button', { name: /立即付款/ }).waitFor({ timeout: 20_000 })
    expect(problems).toEqual([])
  })

  it('with two tabs buys once: both lead to the same order, and each learns what the other did', async () => {
    const saleId = await addWarmSale(stores, { quota: 3 })
    const { page: first } = await newVisit(held, api)
    await logInAs(first, api)
    await first.goto(`/sales/${saleId}`)
    const second = await first.context().newPage()
    await second.goto(`/sales/${saleId}`)
    await solveCheck(first, stores, 'work')
    await first.waitForURL('**/orders/*')

    // The other tab still says what it said. Pressing there leads to the same order.
    await solveCheck(second, stores, 'work')
    await second.waitForURL('**/orders/*')
    expect(second.url()).toBe(first.url())
    expect(await unitsLeft(stores, saleId)).toBe(2)

    await untilState(first, 'awaiting_payment')
    await untilState(second, 'awaiting_payment')
    await second.locator('form[action$="/pay"] button').click()
    await second.locator('button[value=pay]').click()
    await untilState(second, 'paid')
    await first.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`)
    await untilState(first, 'paid')
    await isAudited(saleId)
  })

  it('presses twice and sends once', async () => {
    const saleId = await addWarmSale(stores)
    const { page } = await newVisit(held, api)
    await logInAs(page, api)
    await page.goto(`/sales/${saleId}`)
    const sent: string[] = []
    page.on('request', (request) => {
      if (request.method() === 'POST' && request.url().endsWith('/orders')) sent.push(request.url())
    })
    await solveCheck(page, stores)
    await untilState(page, 'submitting')
    for (let presses = 0; presses < 3; presses += 1)
      await page
        .locator('[data-control]')
        .click({ force: true, timeout: 300 })
        .catch(() => undefined)
    await page.waitForURL('**/orders/*')
    expect(sent).toHaveLength(1)
  })
})

describe('a page that loses the server', () => {
  it('says so, goes on by itself, and finds the order of a purchase whose answer was lost', async () => {
    const saleId = await addWarmSale(stores, { quota: 1 })
    const { page } = await newVisit(held, api)
    await logInAs(page, api)
    await page.goto(`/sales/${saleId}`)
    // The purchase arrives, its answer does not; then the line is dead for a while.
    await page.route('**/api/v1/sales/*/orders', async (route) => {
      await route.fetch()
      await page.context().setOffline(true)
      await route.abort()
    })
    await solveCheck(page, stores)
    await untilState(page, 'confirming')
    await page.locator('[data-offline]:not([hidden])').waitFor()
    await expect.poll(() => page.locator('[data-reason]').innerText()).toMatch(/don't buy again/)
    await page.context().setOffline(false)
    await page.waitForURL('**/orders/*', { timeout: 30_000 })
    await untilState(page, 'awaiting_payment')
    await isAudited(saleId)
  })

  it('while it waits for a result says so, and shows the result once it is back', async () => {
    const saleId = await addWarmSale(stores)
    const { page } = await newVisit(held, api)
    await logInAs(page, api)
    await page.goto(`/sales/${saleId}`)
    await worker.kill('SIGTERM')
    try {
      await solveCheck(page, stores)
      await page.waitForURL('**/orders/*')
      await untilState(page, 'queued')
      await page.context().setOffline(true)
      await page.locator('[data-order-text]', { hasText: "We can't reach the server" }).waitFor()
    } finally {
      await worker.restart()
    }
    await page.context().setOffline(false)
    await untilState(page, 'awaiting_payment', 30_000)
  })
})

describe('a result', () => {
  it('comes by questions where the server has no place for a stream', async () => {
    const saleId = await addWarmSale(stores)
    const { page } = await newVisit(held, pollingApi)
    const streams: number[] = []
    page.on('response', (answer) => {
      if (answer.url().endsWith('/events')) streams.push(answer.status())
    })
    await logInAs(page, pollingApi)
    await page.goto(`/sales/${saleId}`)
    await solveCheck(page, stores)
    await page.waitForURL('**/orders/*')
    await untilState(page, 'awaiting_payment', 20_000)
    expect(streams.every((status) => status === 503)).toBe(true)
  })

  it('is there again after a reload, by the address of the sale and by going back', async () => {
    const saleId = await addWarmSale(stores)
    const { page } = await newVisit(held, api)
    await logInAs(page, api)
    await page.goto(`/sales/${saleId}`)
    await solveCheck(page, stores)
    await untilState(page, 'awaiting_payment', 20_000)
    const orderUrl = page.url()
    await page.reload()
    await untilState(page, 'awaiting_payment')
    await page.goBack()
    await untilState(page, 'won')
    await page.locator('.order-link').click()
    expect(page.url()).toBe(orderUrl)
  })

  it('that frees units brings Buy back for whoever waits, who was told until when that may happen', async () => {
    const saleId = await addWarmSale(stores, { quota: 1 })
    const buyer = await newVisit(held, api)
    await logInAs(buyer.page, api)
    await buyer.page.goto(`/sales/${saleId}`)
    const waiting = await newVisit(held, api)
    const said = await listen(waiting.page)
    await logInAs(waiting.page, api)
    await waiting.page.goto(`/sales/${saleId}`)
    await solveCheck(buyer.page, stores)
    await untilState(buyer.page, 'awaiting_payment', 20_000)

    await untilState(waiting.page, 'sold_out')
    await expect
      .poll(() => waiting.page.locator('[data-reason]').innerText(), { timeout: 10_000 })
      .toMatch(/until \d+:\d\d [AP]M E[SD]T/)
    await buyer.page.locator('form[action$="/cancel"] button').click()
    await untilState(waiting.page, 'open_needs_check')
    expect((await said()).at(-1)).toBe('Units are back. The Verify and buy button is available.')
  })
})
