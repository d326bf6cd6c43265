import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import type { PlaceInLine } from '@blitzbuy/core/user/hash-line'
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'

import { newShopper, useOwnApi } from '../packages/api/test/own-api.ts'
import { findFreePort } from '../scripts/stores/ports.ts'
import { newVisit, useBrowser } from './shop-browser.ts'

const port = await findFreePort(new Set())
const origin = `http://127.0.0.1:${port}`
const api = useOwnApi({ HASHES_WAITING_MAX: '0', PUBLIC_ORIGIN: origin })
const held = useBrowser()
beforeAll(async () => {
  await api.app.listen({ host: '127.0.0.1', port })
})

const takeOnlyPlace = (): PlaceInLine => api.core.hashLine.join() as PlaceInLine

async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env.SCREENSHOTS_FOLDER
  if (!folder) return
  mkdirSync(folder, { recursive: true })
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
}

describe('somebody who sends a form while too many log in', () => {
  it('reads that nothing was done, and is logged in when they load the page again', async () => {
    const { phone, password } = await newShopper(api)
    const { page, problems } = await newVisit(held, { origin }, { viewport: { width: 390, height: 844 } })
    await page.goto('/login?next=%2Forders')
    await page.getByLabel('Phone number', { exact: true }).fill(phone)
    await page.getByLabel('Password', { exact: true }).fill(password)
    const place = takeOnlyPlace()
    await page.getByRole('button', { name: 'Log in', exact: true }).click()
    await page.getByRole('heading', { name: "We're very busy" }).waitFor()
    expect(problems).toEqual([`${origin}/login 503`])
    await screenshot(page, 'login-busy')

    place.leave()
    await page.reload()
    await page.waitForURL('**/orders')
    expect(problems).toHaveLength(1)
  })
})
