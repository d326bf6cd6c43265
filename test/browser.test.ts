import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { addSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { audit, isAtRest } from './audit.ts'
import { readCaptcha } from './pass-gate.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'

const stores = useOwnStores()
const processes = useProcesses(stores)
let browser: Browser
let api: RunningProcess

beforeAll(async () => {
  ;[api] = await Promise.all([
    processes.startReady('api'),
    processes.startReady('order-worker'),
    processes.startReady('stock-warmer'),
  ])
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
    ],
  })
}, 60_000)
afterAll(() => browser.close())

/** Kept where somebody wants to look at them, else not taken. */
async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env.SCREENSHOTS_FOLDER
  if (!folder) return
  mkdirSync(folder, { recursive: true })
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
}

async function newPage(
  options: { javaScriptEnabled?: boolean } = {},
): Promise<{ page: Page; problems: string[] }> {
  const context = await browser.newContext({
    baseURL: api.origin,
    locale: 'en-US',
    timezoneId: 'America/New_York',
    ...options,
  })
  const page = await context.newPage()
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('requestfailed', (request) => problems.push(`${request.url()} ${request.failure()?.errorText}`))
  page.on('response', (answer) => {
    if (answer.status() >= 500) problems.push(`${answer.url()} ${answer.status()}`)
  })
  return { page, problems }
}

async function register(page: Page, phone: string, next: string): Promise<void> {
  await page.goto(`/register?next=${encodeURIComponent(next)}`)
  await page.getByLabel('Phone number', { exact: true }).fill(phone)
  await page.getByLabel('Password', { exact: true }).fill('correct horse battery')
  await page.getByRole('button', { name: /register|create/i }).click()
  await page.waitForURL(`**${next}`)
}

/** Reads the picture that the page shows and answers it, as a person would. */
async function solveCheck(page: Page, open: string, by: 'picture' | 'work' = 'picture'): Promise<void> {
  const challenged = page.waitForResponse((answer) => answer.url().endsWith('/captchas'))
  await page.getByRole('button', { name: open }).click()
  const { captchaId } = (await (await challenged).json()) as { captchaId: string }
  if (by === 'work') return page.getByRole('button', { name: "I can't read pictures" }).click()
  await page.getByLabel('Letters and digits of the picture').fill(await readCaptcha(stores, captchaId))
  await page.getByRole('button', { name: 'Check', exact: true }).click()
}

const SOON_MS = 12_000

describe('a shopper with a browser', () => {
  it('registers, waits for the opening, buys in that second, sees the order and pays', async () => {
    const opensAt = new Date(Date.now() + SOON_MS)
    const saleId = await addSale(stores, { quota: 5, opensAt })
    const { page, problems } = await newPage()

    await register(page, '(213) 373-4253', `/sales/${saleId}`)
    await screenshot(page, '0-get-ready')
    await solveCheck(page, 'Get ready: human check')
    const buy = page.getByRole('button', { name: 'Buy now' })
    await buy.waitFor()
    expect(await buy.getAttribute('aria-disabled')).toBe('true')
    await screenshot(page, '1-waiting')

    // Nobody reloads: the page itself opens when the sale does.
    await expect.poll(() => buy.getAttribute('aria-disabled'), { timeout: SOON_MS + 5_000 }).not.toBe('true')
    expect(Date.now()).toBeGreaterThanOrEqual(opensAt.getTime())
    await screenshot(page, '2-open')
    await buy.click()

    await page.waitForURL('**/orders/*')
    const pay = page.getByRole('button', { name: /Pay \$49\.00/ })
    await pay.waitFor()
    await screenshot(page, '3-order')
    await pay.click()

    await page.getByText('Paid', { exact: true }).first().waitFor()
    await screenshot(page, '4-paid')
    await page.getByRole('link', { name: 'My orders' }).first().click()
    await page.waitForURL('**/orders')
    await screenshot(page, '5-my-orders')
    expect(await page.getByRole('main').innerText()).toContain('Paid')

    await expect.poll(() => isAtRest(stores, saleId), { timeout: 10_000 }).toBe(true)
    expect(await audit(stores, saleId)).toEqual([])
    expect(problems).toEqual([])
  })

  it('buys and pays without JavaScript', async () => {
    const saleId = await addSale(stores, { quota: 5 })
    await expect
      .poll(() => stores.redis.hget(`{sale:${saleId}}:stock`, 'state'), { timeout: 10_000 })
      .toBe('open')
    const { page, problems } = await newPage({ javaScriptEnabled: false })

    await register(page, '138 0013 8000', `/sales/${saleId}`)
    await page.getByRole('button', { name: 'Verify and buy' }).click()
    await page.waitForURL('**/check')
    await screenshot(page, '7-check')
    for (const isRight of [false, true]) {
      const captchaId = await page.locator('[name=captchaId]').getAttribute('value')
      const answer = await readCaptcha(stores, captchaId ?? '')
      await page.getByLabel('Letters and digits of the picture').fill(isRight ? answer : 'wrong')
      await page.getByRole('button', { name: 'Check', exact: true }).click()
    }
    await page.getByRole('button', { name: 'Buy now' }).click()
    await page.waitForURL('**/orders/*')
    // The page refreshes itself until the order is placed.
    const pay = page.getByRole('button', { name: /Pay \$49\.00/ })
    await pay.waitFor({ timeout: 15_000 })
    await pay.click()
    await page.getByText('Paid', { exact: true }).first().waitFor()
    expect(problems).toEqual([])
  })

  it('sees Buy come back by itself when units return', async () => {
    const saleId = await addSale(stores, { quota: 1, paymentWindowSeconds: 3 })
    await expect
      .poll(() => stores.redis.hget(`{sale:${saleId}}:stock`, 'state'), { timeout: 10_000 })
      .toBe('open')
    const first = await newPage()
    await register(first.page, '(213) 373-4254', `/sales/${saleId}`)
    await solveCheck(first.page, 'Verify and buy', 'work')
    await first.page.waitForURL('**/orders/*')

    const second = await newPage()
    await register(second.page, '(213) 373-4255', `/sales/${saleId}`)
    const buy = second.page.getByRole('button', { name: 'Buy now' })
    await expect.poll(() => buy.getAttribute('aria-disabled'), { timeout: 10_000 }).toBe('true')
    await screenshot(second.page, '6-sold-out')

    await second.page.getByRole('button', { name: 'Verify and buy' }).waitFor({ timeout: 20_000 })
    await solveCheck(second.page, 'Verify and buy')
    await second.page.waitForURL('**/orders/*')
  })
})
