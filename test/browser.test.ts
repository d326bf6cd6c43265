import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'

import { addSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { audit, isAtRest } from './audit.ts'
import { readCaptcha } from './pass-gate.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'
import { newVisit, useBrowser, type Visit } from './shop-browser.ts'

const stores = useOwnStores()
const processes = useProcesses(stores)
const held = useBrowser()
let api: RunningProcess

beforeAll(async () => {
  ;[api] = await Promise.all([
    processes.startReady('api', { LOGIN_TRIES_PER_ACCOUNT: '2' }),
    processes.startReady('order-worker'),
    processes.startReady('stock-warmer'),
  ])
}, 60_000)

/** Kept where somebody wants to look at them, else not taken. */
async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env.SCREENSHOTS_FOLDER
  if (!folder) return
  mkdirSync(folder, { recursive: true })
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
}

const newPage = (options: { javaScriptEnabled?: boolean } = {}): Promise<Visit> =>
  newVisit(held, api, options)

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

async function sendLogin(page: Page, phone: string, password: string): Promise<void> {
  await page.getByLabel('Phone number', { exact: true }).fill(phone)
  await page.getByLabel('Password', { exact: true }).fill(password)
  const answered = page.waitForResponse((answer) => answer.request().method() === 'POST')
  await page.getByRole('button', { name: 'Log in', exact: true }).click()
  await (await answered).finished()
  await page.waitForLoadState()
}

const SOON_MS = 12_000

describe('an account at which somebody guesses', () => {
  it.each(['picture', 'work'] as const)(
    'still lets its owner in, who shows by %s that a person is there',
    async (by) => {
      const phone = by === 'picture' ? '(213) 373-4261' : '(213) 373-4262'
      const owner = await newPage()
      await register(owner.page, phone, '/')
      const { page, problems } = await newPage()
      await page.goto('/login')
      for (let times = 0; times < 2; times += 1) {
        await sendLogin(page, phone, 'a wrong guess')
        await page.getByText('Phone number or password is incorrect.').first().waitFor()
      }
      await sendLogin(page, phone, 'correct horse battery')
      const answer = page.getByLabel('Letters and digits of the picture')
      await answer.waitFor()
      await screenshot(page, `7-login-check-${by}`)
      if (by === 'work') {
        await page.getByRole('button', { name: "I can't read pictures" }).click()
        await page.getByText('Your check is done.').waitFor({ timeout: 60_000 })
        await screenshot(page, '7-login-check-done')
      } else {
        const captchaId = await page.locator('input[name="captchaId"]').inputValue()
        await answer.fill(await readCaptcha(stores, captchaId))
      }
      await page.getByLabel('Password', { exact: true }).fill('correct horse battery')
      await page.getByRole('button', { name: 'Log in', exact: true }).click()
      await page.waitForURL((url) => url.pathname === '/')
      await page.getByRole('button', { name: 'Log out' }).waitFor()
      expect(problems).toEqual([])
    },
    120_000,
  )
})

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
    await page.waitForURL('**/sandbox-payments/*')
    await screenshot(page, '3-sandbox')
    await page.getByRole('button', { name: 'Pay $49.00', exact: true }).click()
    await page.waitForURL('**/orders/*')

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
    await page.getByRole('button', { name: 'Pay $49.00', exact: true }).click()
    await page.getByText('Paid', { exact: true }).first().waitFor()
    expect(problems).toEqual([])
  })

  it('fails to pay, reads so, cancels, and reads what a payment that comes after all leads to', async () => {
    const saleId = await addSale(stores, { quota: 5 })
    await expect
      .poll(() => stores.redis.hget(`{sale:${saleId}}:stock`, 'state'), { timeout: 10_000 })
      .toBe('open')
    const { page, problems } = await newPage()
    await register(page, '(213) 373-4257', `/sales/${saleId}`)
    await solveCheck(page, 'Verify and buy', 'work')
    await page.waitForURL('**/orders/*')
    const pay = page.getByRole('button', { name: /Pay \$49\.00 now/ })
    await pay.click()
    await page.getByRole('button', { name: 'Let the payment fail' }).click()
    await page.getByText('The last payment failed').waitFor()
    await screenshot(page, '8-failed')
    await pay.click()
    await page.waitForURL('**/sandbox-payments/*')
    const sandboxUrl = page.url()
    await page.getByRole('link', { name: 'Back to the shop' }).click()
    await page.getByRole('button', { name: 'Cancel this order' }).click()
    await page.getByText('This order was cancelled').first().waitFor()
    await page.setViewportSize({ width: 390, height: 844 })
    await screenshot(page, '9-cancelled-390')
    await page.goto(sandboxUrl)
    await screenshot(page, '9-sandbox-390')
    await page.getByRole('button', { name: 'Pay $49.00', exact: true }).click()
    await page.getByText('It is being refunded').waitFor()
    await expect
      .poll(async () => (await page.reload(), page.getByRole('main').innerText()), { timeout: 15_000 })
      .toContain('It has been refunded')
    await screenshot(page, '10-refunded-390')
    await expect.poll(() => isAtRest(stores, saleId), { timeout: 10_000 }).toBe(true)
    expect(await audit(stores, saleId)).toEqual([])
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

describe('in a browser', () => {
  it('every page works under its content security policy, which reports what is none of ours', async () => {
    const saleId = await addSale(stores, { quota: 5 })
    const upcomingId = await addSale(stores, { quota: 5, opensAt: new Date(Date.now() + 3_600_000) })
    await expect
      .poll(() => stores.redis.hget(`{sale:${saleId}}:stock`, 'state'), { timeout: 10_000 })
      .toBe('open')
    const { page, problems } = await newPage()
    const visit = async (...paths: string[]) => {
      for (const path of paths) {
        await page.goto(path, { waitUntil: 'networkidle' })
        // A style sheet that was blocked would leave the browser's own margin.
        expect(await page.evaluate('getComputedStyle(document.body).margin')).toBe('0px')
      }
    }
    await visit('/', `/sales/${saleId}`, `/sales/${upcomingId}`, '/login', '/register', '/nowhere', '/orders')
    await register(page, '(213) 373-4256', `/sales/${saleId}`)
    await solveCheck(page, 'Verify and buy')
    await page.waitForURL('**/orders/*')
    const orderUrl = new URL(page.url()).pathname
    await visit(
      '/',
      '/orders',
      orderUrl,
      `/sales/${saleId}`,
      `/sales/${saleId}/confirming?since=${Date.now()}`,
    )
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('link', { name: 'Log in' }).first().waitFor()
    expect(problems).toEqual([])

    // The same watch sees what the policy is for.
    await page.evaluate(`
      for (const [name, inside] of [['script', 'window.slippedIn = true'], ['style', 'body { margin: 9px }']]) {
        const element = document.createElement(name)
        element.textContent = inside
        document.body.append(element)
      }
      void fetch('https://evil.example/').catch(() => undefined)
    `)
    await expect.poll(() => problems.length).toBeGreaterThanOrEqual(3)
    expect(await page.evaluate('window.slippedIn')).toBeUndefined()
  })

  it('no page of another site can show ours in a frame, or post a form to it', async () => {
    const { page } = await newPage()
    const other = createServer((request, response) => {
      response.setHeader('content-type', 'text/html')
      response.end(
        request.url === '/frame'
          ? `<iframe src="${api.origin}/login"></iframe>`
          : `<form method="post" action="${api.origin}/login"><input name="phone" value="1"><input name="password" value="1"><button>Win</button></form>`,
      )
    }).listen(0, '127.0.0.1')
    await once(other, 'listening')
    const origin = `http://localhost:${(other.address() as AddressInfo).port}`
    try {
      await page.goto(`${origin}/frame`)
      const frame = await (await page.waitForSelector('iframe')).contentFrame()
      await expect.poll(() => frame?.url()).toMatch(/^chrome-error:/)

      await page.goto(`${origin}/form`)
      const [answer] = await Promise.all([
        page.waitForResponse((response) => response.url() === `${api.origin}/login`),
        page.getByRole('button', { name: 'Win' }).click(),
      ])
      expect(answer.status()).toBe(403)
    } finally {
      other.close()
    }
  })
})
