import { CHECK_AHEAD_MS } from '@blitzbuy/core/gate/human-check'
import { createBlacklistEntries } from '@blitzbuy/core/gate/blacklist-entries'
import { networkSubject } from '@blitzbuy/core/gate/blacklist-subject'
import { parseAddress, senderNetwork, type IpAddress } from '@blitzbuy/core/ip-address'
import { createExpireOrders } from '@blitzbuy/core/order/expire-orders'
import type { Page } from 'playwright-core'
import { expect } from 'vitest'

import { placeQueued } from '../packages/api/test/place-queued.ts'
import { addSale, addWarmSale, type OwnStores } from '../packages/core/test/own-stores.ts'
import type { RunningProcess } from './running-blitzbuy.ts'
import { logInAs, solveCheck, untilState } from './shop-browser.ts'

export interface Stage {
  stores: OwnStores
  api: RunningProcess
  /** The same system with payments switched off. */
  apiWithoutPayments: RunningProcess
}

export interface ShownState {
  name: string
  /** Brings a page into the state; nobody is logged in at first. */
  show: (page: Page, stage: Stage) => Promise<void>
  /** What a reload would end. */
  isMomentary?: true
}

const HOUR_MS = 3_600_000
const BLOCKED_ADDRESS = '10.66.6.6'
const inMs = (ms: number): Date => new Date(Date.now() + ms)

/**
 * Every page a shopper can see in every state it has. No order-worker runs: these states place orders themselves, so
 * that a queue lasts for as long as it is looked at.
 */
export const SHOWN_STATES: readonly ShownState[] = [
  {
    name: 'list',
    async show(page, { stores }) {
      await addWarmSale(stores)
      await addSale(stores, {
        opensAt: inMs(2 * HOUR_MS),
        closesAt: inMs(3 * HOUR_MS),
        currency: 'CNY',
      })
      await addWarmSale(stores, { quota: 0 })
      await addSale(stores, { opensAt: inMs(-2 * HOUR_MS), closesAt: inMs(-HOUR_MS) })
      await page.goto('/')
    },
  },
  sale('not_started', { opensAt: inMs(26 * HOUR_MS), closesAt: inMs(30 * HOUR_MS) }, { isAnonymous: true }),
  sale('not_started-logged-in', { opensAt: inMs(2 * HOUR_MS) }),
  sale('warming', { opensAt: inMs(CHECK_AHEAD_MS / 2) }),
  {
    name: 'sale-check',
    isMomentary: true,
    async show(page, stage) {
      await openSale(page, stage)
      await page.locator('[data-control]').click()
      await page.locator('[data-check-picture][src^="data:"]').waitFor()
    },
  },
  {
    name: 'sale-ready',
    async show(page, stage) {
      await openSale(page, stage, { opensAt: inMs(CHECK_AHEAD_MS / 2) })
      await solveCheck(page, stage.stores)
      await untilState(page, 'ready')
    },
  },
  sale('login_required', {}, { isAnonymous: true }),
  sale('open_needs_check', { unitsPerUser: 3 }),
  {
    name: 'sale-open_ready',
    async show(page, stage) {
      await openReady(page, stage)
    },
  },
  {
    name: 'sale-submitting',
    isMomentary: true,
    async show(page, stage) {
      await openReady(page, stage)
      await page.route('**/api/v1/sales/*/orders', () => undefined)
      await page.locator('[data-control]').click()
      await untilState(page, 'submitting')
    },
  },
  {
    name: 'sale-confirming',
    isMomentary: true,
    async show(page, stage) {
      await openReady(page, stage)
      await page.route('**/api/v1/sales/*/{orders,viewer}', (route) => route.abort())
      await page.locator('[data-control]').click()
      await untilState(page, 'confirming')
    },
  },
  {
    name: 'sale-offline_retrying',
    isMomentary: true,
    async show(page, stage) {
      await openSale(page, stage)
      await page.context().setOffline(true)
      await page.locator('[data-offline]:not([hidden])').waitFor()
    },
  },
  {
    name: 'sale-queued',
    async show(page, stage) {
      const { saleId } = await order(page, stage)
      await page.goto(`/sales/${saleId}`)
      await untilState(page, 'queued')
    },
  },
  {
    name: 'sale-won',
    async show(page, stage) {
      const { saleId } = await placed(page, stage)
      await page.goto(`/sales/${saleId}`)
      await untilState(page, 'won')
    },
  },
  {
    name: 'sale-already_bought',
    async show(page, stage) {
      const { saleId } = await paid(page, stage)
      await page.goto(`/sales/${saleId}`)
      await untilState(page, 'already_bought')
    },
  },
  {
    name: 'sale-sold_out',
    async show(page, stage) {
      const { saleId } = await placed(page, stage, { quota: 1 })
      await page.context().clearCookies({ name: 'blitz' })
      await logInAs(page, stage.api)
      await page.goto(`/sales/${saleId}`)
      await untilState(page, 'sold_out')
    },
  },
  sale('ended', { opensAt: inMs(-2 * HOUR_MS), closesAt: inMs(-HOUR_MS) }),
  {
    name: 'sale-paused',
    async show(page, stage) {
      const saleId = await addWarmSale(stage.stores)
      await stage.stores.mysql.use(({ connection }) =>
        connection.query(`UPDATE sales SET state = 'paused' WHERE id = ?`, [saleId]),
      )
      await logInAs(page, stage.api)
      await page.goto(`/sales/${saleId}`)
      await untilState(page, 'paused')
    },
  },
  {
    name: 'sale-blocked',
    async show(page, stage) {
      const { stores, api } = stage
      const saleId = await addWarmSale(stores)
      await logInAs(page, api)
      const subject = networkSubject(senderNetwork(parseAddress(BLOCKED_ADDRESS) as IpAddress))
      await page.setExtraHTTPHeaders({ 'x-forwarded-for': BLOCKED_ADDRESS })
      await createBlacklistEntries(stores.redis).put([
        { subject, lastsMs: HOUR_MS, cause: 'operator', reason: 'test' },
      ])
      await expect
        .poll(async () => {
          await page.goto(`/sales/${saleId}`)
          return page.locator('[data-sale]').getAttribute('data-state')
        })
        .toBe('blocked')
    },
  },
  {
    name: 'sale-notice',
    async show(page, stage) {
      const saleId = await addWarmSale(stage.stores, { unitsPerUser: 5 })
      await logInAs(page, stage.api)
      await page.goto(`/sales/${saleId}?notice=too-few-left&units=3`)
      await page.locator('[data-notice]').waitFor()
    },
  },
  {
    name: 'check-page',
    async show(page, stage) {
      const saleId = await addWarmSale(stage.stores)
      await logInAs(page, stage.api)
      await page.goto(`/sales/${saleId}/check`)
    },
  },
  {
    name: 'confirming-page',
    async show(page, stage) {
      const saleId = await addWarmSale(stage.stores)
      await logInAs(page, stage.api)
      await page.goto(`/sales/${saleId}/confirming?since=${Date.now() + HOUR_MS}`)
    },
  },
  { name: 'order-queued', show: async (page, stage) => void (await order(page, stage)) },
  { name: 'order-awaiting_payment', show: async (page, stage) => void (await placed(page, stage)) },
  {
    name: 'sandbox-payment',
    async show(page, stage) {
      await placed(page, stage)
      await page.locator('form[action$="/pay"] button').click()
      await page.waitForURL('**/sandbox-payments/*')
    },
  },
  { name: 'order-paid', show: async (page, stage) => void (await paid(page, stage)) },
  {
    name: 'order-payment-failed',
    async show(page, stage) {
      await placed(page, stage)
      await act(page, 'fail')
      await page.locator('[data-order-money]').waitFor()
    },
  },
  {
    name: 'order-cancelled',
    async show(page, stage) {
      await placed(page, stage)
      await page.locator('form[action$="/cancel"] button').click()
      await untilState(page, 'cancelled')
    },
  },
  {
    name: 'order-expired',
    async show(page, stage) {
      const { stores } = stage
      const { orderUrl } = await placed(page, stage)
      await stores.mysql.use(({ connection }) =>
        connection.query('UPDATE orders SET pay_before = placed_at WHERE id = ?', [
          orderUrl.split('/').pop(),
        ]),
      )
      await createExpireOrders(stores.mysql, () => undefined)()
      await page.goto(orderUrl)
      await untilState(page, 'expired')
    },
  },
  {
    name: 'order-rejected',
    async show(page, stage) {
      const { stores } = stage
      const { saleId } = await order(page, stage)
      await stores.mysql.use(({ connection }) =>
        connection.query('UPDATE sales SET quota = 0 WHERE id = ?', [saleId]),
      )
      await placeQueued(stores, saleId)
      await untilState(page, 'rejected')
    },
  },
  {
    name: 'my-orders-empty',
    async show(page, { api }) {
      await logInAs(page, api)
      await page.goto('/orders')
    },
  },
  {
    name: 'my-orders',
    async show(page, stage) {
      await paid(page, stage)
      await placed(page, stage, { currency: 'CNY' }, true)
      await page.goto('/orders')
    },
  },
  { name: 'login', show: async (page) => void (await page.goto('/login')) },
  {
    name: 'login-problem',
    async show(page) {
      await page.goto('/login')
      await page.locator('#phone').fill('213 373 4253')
      await page.locator('.account-form [type=submit]').click()
      await page.locator('[data-error-summary]').waitFor()
    },
  },
  { name: 'register', show: async (page) => void (await page.goto('/register')) },
  {
    name: 'register-problem',
    async show(page) {
      await page.goto('/register')
      await page.locator('#phone').fill('12345')
      await page.locator('#password').fill('correct horse battery')
      await page.locator('.account-form [type=submit]').click()
      await page.locator('[data-error-summary]').waitFor()
    },
  },
  {
    name: 'account-sessions',
    async show(page, { api }) {
      await logInAs(page, api)
      await page.goto('/account/sessions')
    },
  },
  { name: 'error-404', show: async (page) => void (await page.goto('/nowhere')) },
  {
    name: 'error-403',
    async show(page, { api }) {
      await logInAs(page, api)
      await page.goto('/account/sessions')
      await page.evaluate(`document.querySelectorAll('[name=formToken]').forEach((field) => field.remove())`)
      await page.locator('form[action="/logout"] button').click()
      await page.locator('.error-status').waitFor()
    },
  },
  {
    name: 'error-429',
    async show(page) {
      await expect
        .poll(async () => (await page.goto('/nowhere'))?.status(), { interval: 1, timeout: 20_000 })
        .toBe(429)
    },
  },
  {
    name: 'error-503',
    async show(page, stage) {
      const { orderUrl } = await placed(page, stage)
      await page.goto(stage.apiWithoutPayments.origin + orderUrl)
      await page.locator('form[action$="/pay"] button').click()
      await page.locator('.error-status').waitFor()
    },
  },
]

type SaleChanges = Parameters<typeof addWarmSale>[1]

function sale(name: string, changes: SaleChanges, options: { isAnonymous?: boolean } = {}): ShownState {
  return {
    name: `sale-${name}`,
    async show(page, stage) {
      await openSale(page, stage, changes, options)
      expect(name).toContain(await page.locator('[data-sale]').getAttribute('data-state'))
    },
  }
}

async function openSale(
  page: Page,
  { stores, api }: Stage,
  changes: SaleChanges = {},
  options: { isAnonymous?: boolean } = {},
): Promise<number> {
  const saleId = await addWarmSale(stores, changes)
  if (!options.isAnonymous) await logInAs(page, api)
  await page.goto(`/sales/${saleId}`)
  return saleId
}

/** A sale that is open, for somebody who has shown to be a person before. */
async function openReady(page: Page, stage: Stage, changes: SaleChanges = {}): Promise<number> {
  const { stores } = stage
  const saleId = await openSale(page, stage, { ...changes, opensAt: inMs(CHECK_AHEAD_MS / 2) })
  await solveCheck(page, stores)
  await untilState(page, 'ready')
  const opensAt = inMs(-1_000)
  await stores.mysql.use(({ connection }) =>
    connection.query('UPDATE sales SET opens_at = ? WHERE id = ?', [opensAt, saleId]),
  )
  await stores.redis.hset(`{sale:${saleId}}:stock`, 'opensAtMs', opensAt.getTime())
  // The page of a second ago is shared for a second.
  await expect
    .poll(async () => {
      await page.goto(`/sales/${saleId}`)
      return page.locator('[data-sale]').getAttribute('data-state')
    })
    .toBe('open_ready')
  return saleId
}

/** Buys; the page is that of the order, which waits to be placed. */
async function order(
  page: Page,
  stage: Stage,
  changes: SaleChanges = {},
  isLoggedIn = false,
): Promise<{ saleId: number; orderUrl: string }> {
  const saleId = await addWarmSale(stage.stores, changes)
  if (!isLoggedIn) await logInAs(page, stage.api)
  await page.goto(`/sales/${saleId}`)
  await solveCheck(page, stage.stores)
  await page.waitForURL('**/orders/*')
  return { saleId, orderUrl: new URL(page.url()).pathname }
}

async function placed(page: Page, stage: Stage, changes: SaleChanges = {}, isLoggedIn = false) {
  const ordered = await order(page, stage, changes, isLoggedIn)
  await untilState(page, 'queued')
  await placeQueued(stage.stores, ordered.saleId)
  await untilState(page, 'awaiting_payment')
  return ordered
}

async function paid(page: Page, stage: Stage) {
  const ordered = await placed(page, stage)
  await act(page, 'pay')
  await untilState(page, 'paid')
  return ordered
}

async function act(page: Page, name: string): Promise<void> {
  await page.locator('form[action$="/pay"] button').click()
  await page.locator(`button[value="${name}"]`).click()
  await page.waitForURL('**/orders/*')
}
