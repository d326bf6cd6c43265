import { describe, expect, it } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import { en } from '../src/messages/en.ts'
import { english, chinese, preferredLanguage } from '../src/messages/languages.ts'
import { zh } from '../src/messages/zh.ts'
import { REFUSALS } from '../src/refusals.ts'
import { newShopper, useOwnApi } from './own-api.ts'

const api = useOwnApi()
const HTML = { accept: 'text/html' }
const open = (url: string, headers: Record<string, string> = {}) =>
  api.app.inject({ url, headers: { ...HTML, ...headers } })
const CHINESE = { 'accept-language': 'zh-CN,zh;q=0.9,en;q=0.8' }

describe('the language of an answer', () => {
  it.each([
    [undefined, 'en'],
    ['', 'en'],
    ['*', 'en'],
    ['fr-FR,fr', 'en'],
    ['zh', 'zh-CN'],
    ['zh-TW', 'zh-CN'],
    ['ZH-hans-cn', 'zh-CN'],
    ['fr,zh;q=0.3', 'zh-CN'],
    ['en;q=0.4,zh;q=0.8', 'zh-CN'],
    ['zh;q=0.4,en;q=0.8', 'en'],
    ['zh;q=0', 'en'],
    ['zh;q=junk,en', 'zh-CN'],
  ])('is, of a browser that likes %s, %s', (accepted, tag) => {
    expect(preferredLanguage(accepted).tag).toBe(tag)
  })

  it('is on the page, in its texts, and told to caches', async () => {
    const page = await open('/', CHINESE)
    expect(page.body).toMatch(/<html lang="zh-CN">[\s\S]*<h1>抢购活动<\/h1>/)
    expect(page.headers['vary']).toBe('accept-language, cookie')
    expect((await open('/', { 'accept-language': 'de' })).body).toContain('<html lang="en">')
  })

  it('is switched by any page, remembered, and stronger than what the browser likes', async () => {
    const switched = await open('/login?next=%2Forders&lang=zh-CN')
    expect([switched.statusCode, switched.headers.location]).toEqual([303, '/login?next=%2Forders'])
    expect(switched.headers['set-cookie']).toMatch(
      /^blitz-lang=zh-CN; Path=\/; Max-Age=31536000; SameSite=Lax/,
    )
    expect((await open('/login', { cookie: 'blitz-lang=zh-CN' })).body).toContain('<html lang="zh-CN">')
    expect((await open('/login', { cookie: 'a=b; blitz-lang=en', ...CHINESE })).body).toContain(
      '<html lang="en">',
    )
  })

  it('is none that somebody made up', async () => {
    const asked = await open('/orders?lang=%22%3E%3Cscript%3E')
    expect([asked.statusCode, asked.headers['set-cookie']]).toEqual([303, undefined])
    expect((await open('/login', { cookie: 'blitz-lang=klingon' })).body).toContain('<html lang="en">')
    // The switch leads to this site and no other.
    expect((await open('//evil.example/?lang=en')).headers.location ?? '').not.toMatch(/^\/\//)
  })

  it('is that of problems too, their code is not', async () => {
    const answer = await api.app.inject({ url: '/api/v1/me', headers: CHINESE })
    expect(answer.json()).toMatchObject({ code: 'login-required', title: chinese.problems['login-required'] })
    const other = await api.app.inject({ url: '/api/v1/me' })
    expect(other.json()).toMatchObject({ code: 'login-required', title: REFUSALS['login-required'].title })
  })

  it('writes money by its own rules, and moments with their zone', () => {
    expect([english.money(123_450, 'CNY'), chinese.money(123_450, 'CNY')]).toEqual([
      'CN¥1,234.50',
      '¥1,234.50',
    ])
    expect([english.money(123_450, 'USD'), chinese.money(123_450, 'USD')]).toEqual([
      '$1,234.50',
      'US$1,234.50',
    ])
    const newYear = Date.UTC(2026, 0, 1, 8)
    expect(english.moment(newYear).replaceAll('\u202f', ' ')).toBe('Jan 1, 2026, 8:00 AM UTC')
    expect(chinese.moment(newYear)).toBe('2026年1月1日 UTC 08:00')
  })

  it('fills in the same words in both', () => {
    const wordsIn = (message: string) => [...message.matchAll(/\{\w+\}/g)].map(String).toSorted()
    for (const key of Object.keys(en) as (keyof typeof en)[])
      expect([key, wordsIn(zh[key])]).toEqual([key, wordsIn(en[key])])
  })
})

describe('a page that nobody’s name is on', () => {
  it('is made once a second for all, sets no cookie, and may be kept for that long', async () => {
    const saleId = await addWarmSale(api.stores)
    for (const url of ['/', `/sales/${saleId}`]) {
      const [first, second] = await Promise.all([open(url), open(url, { cookie: 'other=1' })])
      expect(first.headers['cache-control']).toBe('public, max-age=1')
      expect(first.headers['set-cookie']).toBeUndefined()
      expect(second.body).toBe(first.body)
    }
  })

  it('never has anything of somebody who is logged in, nor is theirs shared', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    for (const url of ['/', `/sales/${saleId}`]) {
      const own = await open(url, { cookie: shopper.cookie })
      expect([own.headers['cache-control'], own.body.includes('action="/logout"')]).toEqual([
        'no-store',
        true,
      ])
      const shared = await open(url)
      expect(shared.body).not.toMatch(/logout|formToken/)
      expect((await open(url, CHINESE)).body).toContain('lang="zh-CN"')
    }
  })
})
