import { describe, expect, it, vi } from 'vitest'

import { addSale, addWarmSale } from '../../core/test/own-stores.ts'
import { en } from '../src/messages/en.ts'
import { as, textOf, useBrowser } from './browse-pages.ts'
import { newShopper, useOwnApi } from './own-api.ts'

const api = useOwnApi({ LIMIT_CHALLENGE_USER: '1000/60' })
const { open } = useBrowser(api)
const HOUR_MS = 3_600_000
describe('any page', () => {
  it('that shows a user’s state is kept by no cache', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    for (const url of ['/', `/sales/${saleId}`, '/orders']) {
      expect((await open(url, as(shopper))).headers['cache-control']).toBe('no-store')
    }
  })

  it('has no script and no style inside, no other site’s file, and one h1', async () => {
    const saleId = await addWarmSale(api.stores, { opensAt: new Date(Date.now() + HOUR_MS) })
    for (const url of ['/', `/sales/${saleId}`, '/login', '/register', '/nowhere']) {
      const { body } = await open(url)
      expect(body).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc="\/assets\/)/)
      expect(body).not.toMatch(/(?:src|href)="(?:https?:)?\/\//)
      expect(body.match(/<h1[\s>]/g)).toHaveLength(1)
      expect(body).toMatch(
        /<html lang="en">[\s\S]*<a class="skip-link" href="#content">[\s\S]*<main id="content"/,
      )
    }
  })

  it('of an unknown address is a page for browsers and a problem for programs', async () => {
    const page = await open('/nowhere')
    expect([page.statusCode, page.headers['content-type']]).toEqual([404, 'text/html; charset=utf-8'])
    const unknown = [
      await open('/sales/4000000000'),
      await open('/sales/junk'),
      await open('/api/v1/nowhere'),
    ]
    expect(unknown.map((answer) => answer.statusCode)).toEqual([404, 404, 404])
    expect(unknown[2]?.headers['content-type']).toContain('application/problem+json')
    const program = await api.app.inject({ url: '/nowhere', headers: { accept: 'application/json' } })
    expect(program.json()).toMatchObject({ code: 'not-found' })
  })

  it('opened by an address that only takes forms says so', async () => {
    const page = await open('/logout')
    expect([page.statusCode, page.headers.allow]).toEqual([405, 'POST'])
    expect(textOf(page)).toContain(en['refusal.method-not-allowed'])
  })

  it('whose store is away says when to come back, and names the request', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const own = vi.spyOn(api.core.readOrder, 'liveIn').mockImplementation(async () => {
      const { StoreAway } = await import('@blitzbuy/core/errors')
      throw new StoreAway('redis', 'not-sent', new Error('away'))
    })
    try {
      const page = await open(`/sales/${saleId}`, as(shopper))
      expect([page.statusCode, page.headers['retry-after']]).toEqual([503, '1'])
      expect(page.headers['content-type']).toBe('text/html; charset=utf-8')
      expect(textOf(page)).toMatch(/Reference: [0-9a-f]{12}-/)

      // What cannot be looked up is not "nothing": the shopper goes on waiting.
      const since = api.core.clock.nowMs() - 60_000
      const confirming = await open(`/sales/${saleId}/confirming?since=${since}`, as(shopper))
      expect([confirming.statusCode, confirming.headers['refresh']]).toEqual([200, '3'])
    } finally {
      own.mockRestore()
    }
  })

  it('lists every sale under its phase, what is open first', async () => {
    const openId = await addWarmSale(api.stores)
    const upcomingId = await addSale(api.stores, { opensAt: new Date(Date.now() + HOUR_MS) })
    const soldOutId = await addWarmSale(api.stores, { quota: 0 })
    await vi.waitFor(async () => {
      const { body } = await open('/')
      const places = [
        body.indexOf('id="group-open"'),
        body.indexOf(`href="/sales/${openId}"`),
        body.indexOf('id="group-upcoming"'),
        body.indexOf(`href="/sales/${upcomingId}"`),
        body.indexOf('id="group-sold_out"'),
        body.indexOf(`href="/sales/${soldOutId}"`),
      ]
      expect(places).toEqual(places.toSorted((a, b) => a - b))
      expect(places[0]).toBeGreaterThan(0)
    }, 5_000)
  })
})

describe('an asset', () => {
  it('is kept for ever under its version, and shortly under any other', async () => {
    const { body } = await open('/')
    const urls = [...body.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map((match) => String(match[1]))
    expect(urls.length).toBeGreaterThan(3)
    for (const url of new Set(urls)) {
      const asset = await open(url)
      expect([url, asset.statusCode]).toEqual([url, 200])
      expect(asset.headers['cache-control']).toBe('public, max-age=31536000, immutable')
      const other = await open(url.replace(/v=.*/, 'v=of-a-newer-release'))
      expect(other.headers['cache-control']).toBe('public, max-age=60')
    }
  })

  it('is one of ours: nothing else can be reached', async () => {
    for (const path of ['app.css.br', '../src/app.ts', '%2e%2e/package.json', '..%2fpackage.json', '', '.']) {
      expect((await open(`/assets/${path}`)).statusCode).toBe(404)
    }
  })

  it('and a page together weigh at most 60 KB', async () => {
    const saleId = await addWarmSale(api.stores)
    const { gzipSync } = await import('node:zlib')
    const { body } = await open(`/sales/${saleId}`, as(await newShopper(api)))
    const files = await Promise.all(
      ['app.js', 'app.css'].map((name) =>
        open(`/assets/${name}`, { 'accept-encoding': 'gzip, deflate, br' }),
      ),
    )
    for (const file of files) expect(file.headers['content-encoding']).toBe('br')
    const total = files.reduce((sum, file) => sum + file.rawPayload.length, gzipSync(body).length)
    expect(total).toBeLessThan(60 * 1024)
  })
})
