import { readFileSync, mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

import type { AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'

import { useOwnStores } from '../packages/core/test/own-stores.ts'
import { useProcesses } from './running-blitzbuy.ts'
import { PATIENT, newVisit, useBrowser } from './shop-browser.ts'
import { SHOWN_STATES, type ShownState, type Stage } from './shop-states.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

const stores = useOwnStores()
const processes = useProcesses(stores, { ...PATIENT, LIMIT_NOT_FOUND: '20/60' })
const held = useBrowser()
const stage = { stores } as Stage

/** Given, every state is photographed; `pnpm screenshots` does it. */
const folder = process.env.SCREENSHOTS_FOLDER

const PHONE = { width: 390, height: 844 }
const DESKTOP = { width: 1280, height: 900 }

beforeAll(async () => {
  const secrets = Object.fromEntries(
    ['SESSION_SECRETS', 'ORDER_ID_SECRETS', 'PURCHASE_TOKEN_SECRETS'].map((name) => [name, 'x'.repeat(40)]),
  )
  ;[stage.api, stage.apiWithoutPayments] = await Promise.all([
    processes.startReady('api', secrets),
    processes.startReady('api', { ...secrets, PAYMENT_PROVIDER: 'none' }),
  ])
}, 60_000)

/** One line per broken rule and element. */
async function breaches(page: Page): Promise<string[]> {
  await page.evaluate(axe)
  const results = (await page.evaluate(
    `axe.run(document, { runOnly: ${JSON.stringify(RULES)}, resultTypes: ['violations'] })`,
  )) as AxeResults
  return results.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} ${target.join(' ')}: ${failureSummary}`),
  )
}

async function photograph(page: Page, name: string): Promise<void> {
  if (!folder) return
  mkdirSync(folder, { recursive: true })
  await page.screenshot({ path: join(folder, `${name}.png`) })
}

describe('every page in every state', () => {
  it.each(SHOWN_STATES)(
    '$name is for everybody: by axe, in both languages, light and dark, 320 px wide',
    async (state) => {
      const { page } = await newVisit(held, stage.api, {
        viewport: PHONE,
        reducedMotion: 'reduce',
        extraHTTPHeaders: { 'x-forwarded-for': addressOf(state) },
      })
      try {
        await state.show(page, stage)
        await photograph(page, `${state.name}.phone`)
        expect(await breaches(page)).toEqual([])
        await page.setViewportSize({ width: 320, height: 640 })
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(320)

        await page.setViewportSize(DESKTOP)
        if (folder) await photograph(page, `${state.name}.desktop`)
        await page.emulateMedia({ colorScheme: 'dark' })
        if (!state.isMomentary) {
          await page.context().addCookies([{ name: 'blitz-lang', value: 'zh-CN', url: page.url() }])
          await page.reload()
          expect(await page.getAttribute('html', 'lang')).toBe('zh-CN')
        }
        await photograph(page, `${state.name}.desktop-dark-zh`)
        expect(await breaches(page)).toEqual([])
        if (folder) {
          await page.setViewportSize(PHONE)
          await photograph(page, `${state.name}.phone-dark-zh`)
        }
      } finally {
        await page.context().close()
      }
    },
  )

  it('is not for everybody when something is wrong with it, which axe sees', async () => {
    const { page } = await newVisit(held, stage.api)
    await page.goto('/login')
    await page.evaluate(`document.querySelector('label[for=phone]').remove()`)
    expect(await breaches(page)).toContainEqual(expect.stringMatching(/^label #phone/))
  })
})

/** Each state's limits are its own. */
function addressOf(state: ShownState): string {
  return `10.8.${SHOWN_STATES.indexOf(state)}.1`
}
