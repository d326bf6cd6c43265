import { randomInt } from 'node:crypto'

import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'

import type { OwnStores } from '../packages/core/test/own-stores.ts'
import { readCaptcha } from './pass-gate.ts'
import type { RunningProcess } from './running-blitzbuy.ts'

/** A machine that is busy with tests and browsers is no reason to refuse a page. */
export const PATIENT = {
  SHED_BROWSING_DELAY_MS: '60000',
  SHED_LOGINS_DELAY_MS: '60000',
  SHED_PURCHASES_DELAY_MS: '60000',
}

/** A browser for the tests of a file. */
export function useBrowser(): { browser: Browser } {
  const held = {} as { browser: Browser }
  beforeAll(async () => {
    held.browser = await chromium.launch({
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
  afterAll(() => held.browser.close())
  return held
}

export interface Visit {
  page: Page
  /** Errors of scripts, what the content security policy forbade, requests without an answer, 5xx. */
  problems: string[]
}

/** A browser of somebody's own: nobody else's cookies, and an address that the proxy in front tells. */
export async function newVisit(
  { browser }: { browser: Browser },
  api: Pick<RunningProcess, 'origin'>,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const context = await browser.newContext({
    baseURL: api.origin,
    locale: 'en-US',
    timezoneId: 'America/New_York',
    ...options,
  })
  const page = await context.newPage()
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('console', (message) => {
    if (/Content Security Policy|Permissions.Policy|Cross-Origin-/i.test(message.text()))
      problems.push(message.text())
  })
  page.on('requestfailed', (request) => {
    // Leaving a page ends what it was still asking for.
    const failure = request.failure()?.errorText
    if (failure !== 'net::ERR_ABORTED') problems.push(`${request.url()} ${failure}`)
  })
  page.on('response', (answer) => {
    if (answer.status() >= 500) problems.push(`${answer.url()} ${answer.status()}`)
  })
  return { page, problems }
}

/** An account that the api knows, and its session in this browser. */
export async function logInAs(page: Page, api: RunningProcess): Promise<{ userId: number; phone: string }> {
  const phone = `+86139${randomInt(10 ** 8)
    .toString()
    .padStart(8, '0')}`
  const answer = await fetch(`${api.origin}/api/v1/auth/register`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-forwarded-for': `10.7.${randomInt(256)}.${randomInt(256)}`,
    },
    body: JSON.stringify({ phone, password: 'correct horse battery', nickname: 'Ada' }),
  })
  expect(answer.status).toBe(201)
  const [name = '', value = ''] = (answer.headers.getSetCookie()[0]?.split(';')[0] ?? '').split(/=(.*)/s)
  await page.context().addCookies([{ name, value, url: api.origin }])
  const { userId } = (await answer.json()) as { userId: number }
  return { userId, phone }
}

/** Opens the human check of a sale's page and answers it; whatever the language of the page. */
export async function solveCheck(
  page: Page,
  stores: OwnStores,
  by: 'picture' | 'work' = 'picture',
): Promise<void> {
  const challenged = page.waitForResponse((answer) => answer.url().endsWith('/captchas'))
  await page.locator('[data-control]').click()
  const { captchaId } = (await (await challenged).json()) as { captchaId: string }
  if (by === 'work') return page.locator('[data-check-work]').click()
  await page.locator('[data-check-form] [name=answer]').fill(await readCaptcha(stores, captchaId))
  await page.locator('[data-check-form] [type=submit]').click()
}

export async function stateOf(page: Page): Promise<string | null> {
  return page.locator('[data-sale], [data-order]').getAttribute('data-state')
}

/** Waits until the page of a sale or an order is in a state. */
export async function untilState(page: Page, state: string, timeout = 10_000): Promise<void> {
  await page.locator(`[data-state="${state}"]`).first().waitFor({ timeout, state: 'attached' })
}
