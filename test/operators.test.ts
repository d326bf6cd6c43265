import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createLog } from '@blitzbuy/core/log'
import { createPublishDeadLetter } from '@blitzbuy/core/rabbitmq/publish'
import { totpAt } from '@blitzbuy/core/user/totp'
import type { AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'

import { addSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { audit, isAtRest } from './audit.ts'
import { buyOnce, countAnswers, makeCrowd, startRush } from './crowd.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'
import { logInAs, newVisit, useBrowser } from './shop-browser.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
/** Given, every page is photographed. */
const folder = process.env.SCREENSHOTS_FOLDER

const stores = useOwnStores()
const processes = useProcesses(stores)
const held = useBrowser()
let api: RunningProcess
let other: RunningProcess

beforeAll(async () => {
  ;[api, other] = await Promise.all([
    processes.startReady('api'),
    processes.startReady('api'),
    processes.startReady('order-worker'),
    processes.startReady('stock-warmer'),
  ])
}, 60_000)

/** By axe, in light and dark, on a screen of 320 px; and photographed in both, on a desk and on a phone. */
async function lookAt(page: Page, name: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    expect([name, colorScheme, await breaches(page)]).toEqual([name, colorScheme, []])
    if (folder) {
      mkdirSync(folder, { recursive: true })
      for (const [size, width, height] of [
        ['desktop', 1280, 900],
        ['phone', 390, 844],
      ] as const) {
        await page.setViewportSize({ width, height })
        await page.screenshot({ path: join(folder, `${name}.${size}.${colorScheme}.png`), fullPage: true })
      }
    }
  }
  await page.setViewportSize({ width: 320, height: 640 })
  expect([name, await page.evaluate('document.documentElement.scrollWidth')]).toEqual([name, 320])
  await page.emulateMedia({ colorScheme: 'light' })
  await page.setViewportSize({ width: 1280, height: 900 })
}

async function breaches(page: Page): Promise<string[]> {
  await page.evaluate(axe)
  const results = (await page.evaluate(
    `axe.run(document, { runOnly: ${JSON.stringify(RULES)}, resultTypes: ['violations'] })`,
  )) as AxeResults
  return results.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} ${target.join(' ')}: ${failureSummary}`),
  )
}

/** Logs in with the password by a session that stands already, and with a code by the page. */
async function enter(page: Page, shoot: boolean): Promise<{ secret: string; usedCode: string }> {
  const { userId, phone } = await logInAs(page, api)
  await stores.mysql.use(({ connection }) =>
    connection.query("UPDATE users SET role = 'operator' WHERE id = ?", [userId]),
  )
  await page.context().clearCookies()
  await page.goto('/admin')
  await page.waitForURL('**/login?next=*')
  await page.getByLabel('Phone number', { exact: true }).fill(phone)
  await page.getByLabel('Password', { exact: true }).fill('correct horse battery')
  await page.getByRole('button', { name: 'Log in' }).last().click()
  await page.waitForURL('**/admin/second-factor*')
  if (shoot) await lookAt(page, '01-set-up')
  await page.getByText('The app cannot scan').click()
  const secret = (await page.locator('.key').innerText()).replaceAll(' ', '')
  const usedCode = totpAt(secret, Date.now())
  await page.getByLabel('Type the code that it shows').fill(usedCode)
  await page.getByRole('button', { name: 'Go on' }).click()
  await page.getByRole('heading', { name: 'Keep your recovery codes' }).waitFor()
  if (shoot) await lookAt(page, '02-recovery-codes')
  await page.getByRole('link', { name: 'I have kept them' }).click()
  await page.waitForURL('**/admin')
  return { secret, usedCode }
}

/** What an input of the type datetime-local takes. */
const inUtc = (ms: number) => new Date(ms).toISOString().slice(0, 19)
const number = async (page: Page, part: string) =>
  Number((await page.locator(`[data-part="${part}"]`).innerText()).replaceAll(',', ''))

describe('an operator with a browser', () => {
  it('logs in with a code, makes a sale, watches it live while buyers buy, pauses, resumes, restocks and closes it, and reads all of it in the audit log', async () => {
    const { page, problems } = await newVisit(held, api, { viewport: { width: 1280, height: 900 } })
    await enter(page, true)

    await page.getByRole('link', { name: 'Products' }).click()
    await page.getByRole('link', { name: 'New product' }).click()
    await page.getByRole('button', { name: 'Make the product' }).click()
    await page.getByRole('alert').waitFor()
    await lookAt(page, '03-product-refused')
    await page.getByLabel('Title').fill('Pour-over kettle')
    await page.getByLabel('Description').fill('A gooseneck kettle with a thermometer in its side.')
    await page.getByLabel('Picture').fill('/assets/products/pour-over-kettle.svg')
    await page.getByRole('button', { name: 'Make the product' }).click()
    await page.getByRole('status').getByText('The product is there').waitFor()
    await lookAt(page, '04-products')

    await page.getByRole('link', { name: 'Put on sale: Pour-over kettle' }).click()
    const opensAtMs = Date.now() + 2_000
    await page.getByLabel('Price in the currency').fill('49.00')
    await page.getByLabel('Price elsewhere').fill('79')
    await page.getByLabel('Quota').fill('30')
    await page.getByLabel('Opens (UTC)').fill(inUtc(opensAtMs))
    await page.getByLabel('Closes (UTC)').fill(inUtc(opensAtMs + 3_600_000))
    await lookAt(page, '05-new-sale')
    await page.getByRole('button', { name: 'Make the sale' }).click()
    await page.waitForURL('**/admin/sales/*done=created')
    const saleId = Number(/sales\/(\d+)/.exec(page.url())?.[1])
    const state = () => stores.redis.hget(`{sale:${saleId}}:stock`, 'state')
    await expect.poll(state, { timeout: 15_000 }).toBe('open')
    await expect.poll(() => Date.now(), { timeout: 15_000 }).toBeGreaterThan(opensAtMs + 1_000)

    await page.goto(`/admin/sales/${saleId}/live`)
    await page.getByText('Live', { exact: true }).first().waitFor()
    const buyers = await makeCrowd(stores, {
      saleId,
      count: 60,
      secrets: processes.secrets,
      publicOrigin: api.origin,
    })
    // Over both instances: what one of them counts is seen on the other one's page.
    const rush = startRush(buyers, 3, (buyer, index) =>
      buyOnce(buyer, (index % 2 === 0 ? api : other).origin, saleId),
    )
    const untilSeen = (outcome: string) =>
      expect
        .poll(async () => Number(await page.locator(`[data-outcome="${outcome}"] td`).last().innerText()), {
          timeout: 20_000,
        })
        .toBe(30)
    await expect.poll(() => number(page, 'unitsLeft'), { timeout: 20_000 }).toBe(0)
    await untilSeen('reserved')
    await expect.poll(rush.made, { timeout: 30_000 }).toBe(buyers.length)
    const answers = countAnswers(await rush.end())
    // The page says what the buyers were told.
    expect(answers).toEqual({ 202: 30, '409 sold-out': 30 })
    await untilSeen('sold_out')
    await expect.poll(() => number(page, 'toBePaid'), { timeout: 20_000 }).toBe(30)
    await expect.poll(() => number(page, 'drift'), { timeout: 20_000 }).toBe(0)
    expect(await page.locator('.u-wrap canvas').count()).toBe(1)
    await lookAt(page, '06-live')
    await page.getByRole('button', { name: 'Pause updates' }).click()
    await page.getByText('Paused: the figures stand still').waitFor()

    await page.getByRole('link', { name: 'Pause, restock, close the sale' }).click()
    await page.getByRole('button', { name: 'Pause', exact: true }).click()
    await page.getByText('The sale is paused').waitFor()
    expect(await state()).toBe('paused')
    await lookAt(page, '07-sale-paused')
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.getByText('The sale goes on').waitFor()
    expect(await state()).toBe('open')
    await page.getByLabel('Put more units on sale').fill('20')
    await page.getByRole('button', { name: 'Restock' }).click()
    await page.getByText('The units are on sale').waitFor()
    expect(await stores.redis.hget(`{sale:${saleId}}:stock`, 'unitsLeft')).toBe('20')
    await page.getByRole('link', { name: 'Change' }).click()
    await lookAt(page, '08-change')
    await page.goBack()
    await page.getByRole('link', { name: 'Compare Redis with MySQL' }).click()
    await page.getByText('Both say the same').waitFor()
    await lookAt(page, '09-reconcile')
    await page.goBack()
    await page.getByRole('button', { name: 'Close', exact: true }).click()
    await page.getByText("type the sale's id to close it").first().waitFor()
    await lookAt(page, '10-close-refused')
    await page.getByLabel(`To close it for good, type ${saleId}`).fill(String(saleId))
    await page.getByRole('button', { name: 'Close', exact: true }).click()
    await page.getByText('The sale is closed for good').waitFor()
    await expect.poll(state).toBe('closed')

    await page.locator('#orders .code').first().click()
    await page.getByRole('heading', { name: 'What happened' }).waitFor()
    await lookAt(page, '11-order')
    await page.goto('/admin/orders')
    await lookAt(page, '12-orders')

    await page.getByRole('link', { name: 'Audit log' }).click()
    const acts = await page.locator('.entry-head strong').allInnerTexts()
    expect(acts.slice(0, 6)).toEqual([
      'sale.close',
      'sale.restock',
      'sale.resume',
      'sale.pause',
      'sale.create',
      'product.create',
    ])
    await lookAt(page, '13-audit-log')
    await expect.poll(() => isAtRest(stores, saleId), { timeout: 15_000 }).toBe(true)
    expect(await audit(stores, saleId)).toEqual([])
    expect(problems).toEqual([])
  }, 180_000)

  it('needs no script: a code, a sale, the blacklist, a dead letter, the live page', async () => {
    const publisher = connectBroker({
      url: stores.amqpUrl,
      namespace: stores.namespace,
      role: 'publisher',
      log: createLog({ name: 'test', level: 'fatal' }),
    })
    await publisher.connected
    await createPublishDeadLetter(publisher)(Buffer.from('{"v":1,"reservations":"none"}'), {
      cause: 'schema',
      detail: 'reservations must be array',
      originalMessageId: 'm-1',
      diedAtMs: Date.now(),
    })
    await publisher.close()

    const { page, problems } = await newVisit(held, api, { javaScriptEnabled: false })
    await enterWithoutScript(page)
    await page.getByRole('link', { name: 'Blacklist' }).click()
    await page.getByLabel('Who').fill('+86 138 0013 8000')
    await page.getByLabel('Reason').fill('buys with forty accounts')
    await page.getByRole('button', { name: 'Put on the blacklist' }).click()
    await page.getByText('phone:+8613800138000').first().waitFor()

    await page.getByRole('link', { name: 'Dead letters' }).click()
    await page.locator('td .code').first().click()
    await page.getByLabel('To forget it for good, type drop').fill('drop')
    await page.getByRole('button', { name: 'Drop' }).click()
    await page.getByText('That is how it should be').waitFor()

    const saleId = await addSale(stores)
    await page.goto(`/admin/sales/${saleId}/live`)
    expect(await page.locator('[data-outcome="reserved"] td').last().innerText()).toMatch(/^\d+$/)
    expect(problems).toEqual([])
  }, 60_000)

  it('has pages for everybody: by axe, in light and dark, on 320 px', async () => {
    const { page } = await newVisit(held, api, { viewport: { width: 1280, height: 900 } })
    const { secret, usedCode } = await enter(page, false)
    for (const [path, name] of [
      ['', '20-dashboard'],
      ['/sales', '21-sales'],
      ['/blacklist', '22-blacklist'],
      ['/dead-letters', '23-dead-letters'],
      ['/orders?find=nobody', '24-orders-nobody'],
    ] as const) {
      await page.goto(`/admin${path}`)
      await lookAt(page, name)
    }
    await page.getByRole('button', { name: 'Leave' }).click()
    await page.goto('/admin/sales')
    await page.getByLabel('Code from your app').fill(usedCode)
    await page.getByRole('button', { name: 'Go on' }).click()
    // The code that set it up is used up, also for whoever looked over a shoulder.
    await page.getByText('This code is wrong, used or too old').first().waitFor()
    await lookAt(page, '25-code-refused')
    await page.getByLabel('Code from your app').fill(totpAt(secret, Date.now() + 30_000))
    await page.getByRole('button', { name: 'Go on' }).click()
    await page.waitForURL('**/admin/sales')
  }, 120_000)
})

async function enterWithoutScript(page: Page): Promise<void> {
  const { userId, phone } = await logInAs(page, api)
  await stores.mysql.use(({ connection }) =>
    connection.query("UPDATE users SET role = 'operator' WHERE id = ?", [userId]),
  )
  await page.context().clearCookies()
  await page.goto('/login?next=/admin')
  await page.getByLabel('Phone number', { exact: true }).fill(phone)
  await page.getByLabel('Password', { exact: true }).fill('correct horse battery')
  await page.getByRole('button', { name: 'Log in' }).last().click()
  await page.getByText('The app cannot scan').click()
  const secret = (await page.locator('.key').innerText()).replaceAll(' ', '')
  await page.getByLabel('Type the code that it shows').fill(totpAt(secret, Date.now()))
  await page.getByRole('button', { name: 'Go on' }).click()
  await page.getByRole('link', { name: 'I have kept them' }).click()
}
