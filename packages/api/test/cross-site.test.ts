import { createLog } from '@blitzbuy/core/log'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { readCaptcha } from '../../../test/pass-gate.ts'
import { addWarmSale } from '../../core/test/own-stores.ts'
import { buildApi } from '../src/app.ts'
import { en } from '../src/messages/en.ts'
import { PUBLIC_ORIGIN, cookieOf, newShopper, openForm, useOwnApi, type Shopper } from './own-api.ts'

const api = useOwnApi()
const HTML = { accept: 'text/html' }
const FORM = { ...HTML, 'content-type': 'application/x-www-form-urlencoded' }
const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString()
const codeOf = (answer: { json(): unknown }) => (answer.json() as { code: string }).code

/** The api as it is behind https. */
let secure: FastifyInstance
beforeAll(async () => {
  const log = createLog({ name: 'api', level: 'silent' })
  secure = await buildApi({
    config: { ...api.config, PUBLIC_ORIGIN: 'https://shop.test' },
    core: api.core,
    log,
  })
})
afterAll(() => secure.close())

describe('a request that a browser sends for another site', () => {
  const CASES: [string, Record<string, string>, boolean][] = [
    ['neither header: no browser', {}, true],
    ['our own page', { origin: PUBLIC_ORIGIN, 'sec-fetch-site': 'same-origin' }, true],
    ['our own page, over plain http', { origin: PUBLIC_ORIGIN }, true],
    ['typed by the person', { 'sec-fetch-site': 'none' }, true],
    ['another site', { origin: 'https://evil.test', 'sec-fetch-site': 'cross-site' }, false],
    ['another site, without Origin', { 'sec-fetch-site': 'cross-site' }, false],
    ['a subdomain', { 'sec-fetch-site': 'same-site' }, false],
    ['a subdomain with our Origin', { origin: PUBLIC_ORIGIN, 'sec-fetch-site': 'same-site' }, false],
    [
      'another origin that says it is ours',
      { origin: 'https://evil.test', 'sec-fetch-site': 'same-origin' },
      false,
    ],
    ['a sandboxed frame', { origin: 'null' }, false],
    ['the same host on another port', { origin: `${PUBLIC_ORIGIN}:8080` }, false],
    ['the same host with another scheme', { origin: PUBLIC_ORIGIN.replace('http:', 'https:') }, false],
    ['a host that begins like ours', { origin: `${PUBLIC_ORIGIN}.evil.test` }, false],
    ['an empty Origin', { origin: '' }, false],
  ]

  it.each(CASES)('is refused, and only that: %s', async (_who, headers, isAccepted) => {
    for (const url of ['/api/v1/auth/logout', '/logout']) {
      const answer = await api.app.inject({ method: 'POST', url, headers })
      if (isAccepted) expect([204, 303]).toContain(answer.statusCode)
      else expect([answer.statusCode, codeOf(answer)]).toEqual([403, 'cross-site'])
    }
  })

  it('cannot read any answer: no origin is ever allowed, with or without a preflight', async () => {
    for (const origin of ['https://evil.test', 'null', PUBLIC_ORIGIN]) {
      for (const options of [
        { url: '/api/v1/sales' },
        { url: '/api/v1/me' },
        { url: `/api/v1/orders/${'0'.repeat(26)}/events` },
        {
          method: 'OPTIONS' as const,
          url: '/api/v1/auth/login',
          headers: {
            'access-control-request-method': 'POST',
            'access-control-request-headers': 'content-type',
          },
        },
      ]) {
        const answer = await api.app.inject({ ...options, headers: { ...options.headers, origin } })
        expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
        if ('method' in options) expect(answer.statusCode).toBe(405)
      }
    }
  })
})

describe('the cookie of a chosen language', () => {
  it('is of this host alone over https, and is read under that name', async () => {
    const answer = await secure.inject({ url: '/login?lang=zh-CN', headers: HTML })
    expect(answer.headers['set-cookie']).toMatch(/^__Host-blitz-lang=zh-CN; Path=\/; .*; Secure$/)
    const page = await secure.inject({
      url: '/login',
      headers: { ...HTML, cookie: '__Host-blitz-lang=zh-CN' },
    })
    expect(page.body).toContain('<html lang="zh-CN">')
  })
})

describe('a form over https', () => {
  it('of the human check sets the token’s cookie for that sale alone, and Buy takes it', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const headers = { ...HTML, cookie: `__Host-${shopper.cookie}`, 'x-forwarded-for': shopper.address }
    const page = await secure.inject({ url: `/sales/${saleId}/check`, headers })
    const valueOf = (name: string) => new RegExp(`name="${name}" value="([^"]+)"`).exec(page.body)?.[1] ?? ''
    const [formToken, captchaId] = [valueOf('formToken'), valueOf('captchaId')]
    const submit = (url: string, fields: Record<string, string>, cookie: string) =>
      secure.inject({
        method: 'POST',
        url,
        headers: { ...headers, ...FORM, origin: 'https://shop.test', cookie },
        payload: form({ formToken, ...fields }),
      })
    const answer = await readCaptcha(api.stores, captchaId)
    const cookie = `${headers.cookie}; ${cookieOf(page)}`
    const solved = await submit(`/sales/${saleId}/check`, { captchaId, answer }, cookie)
    expect(solved.cookies).toContainEqual(
      expect.objectContaining({
        name: '__Secure-blitz-token',
        path: `/sales/${saleId}`,
        secure: true,
        httpOnly: true,
        sameSite: 'Lax',
      }),
    )
    const bought = await submit(`/sales/${saleId}/buy`, {}, `${cookie}; ${cookieOf(solved)}`)
    expect(bought.headers.location).toMatch(/^\/orders\//)
  })
})

describe('a form', () => {
  const login = (shopper: Pick<Shopper, 'phone' | 'password'>, extra: Record<string, string> = {}) => ({
    phone: shopper.phone,
    password: shopper.password,
    ...extra,
  })
  const post = (url: string, fields: Record<string, string>, cookie: string) =>
    api.app.inject({ method: 'POST', url, headers: { ...FORM, cookie }, payload: form(fields) })

  it('of a visitor sets a signed cookie and makes no key in Redis', async () => {
    const before = await api.stores.redis.dbsize()
    const page = await api.app.inject({ url: '/login', headers: HTML })
    const [cookie] = page.cookies
    expect(cookie).toMatchObject({ name: 'blitz-form', httpOnly: true, sameSite: 'Lax', path: '/' })
    expect(await api.stores.redis.dbsize()).toBe(before)
    const overTls = await secure.inject({ url: '/login', headers: HTML })
    expect(overTls.cookies[0]).toMatchObject({ name: '__Host-blitz-form', secure: true, path: '/' })
    expect(overTls.cookies[0]).not.toHaveProperty('domain')
    // A page without a form asks for no cookie at all.
    expect((await api.app.inject({ url: '/nowhere', headers: HTML })).cookies).toEqual([])
  })

  it('cannot log anybody in with a token that was made for another browser, or with none', async () => {
    const shopper = await newShopper(api)
    const own = await openForm(api)
    const attackers = await openForm(api)
    const tries: [Record<string, string>, string][] = [
      [{}, own.cookie],
      [{ formToken: '' }, own.cookie],
      [{ formToken: 'junk' }, own.cookie],
      [{ formToken: attackers.formToken }, own.cookie],
      [{ formToken: own.formToken }, ''],
      [{ formToken: own.formToken }, 'blitz-form=chosen-by-somebody-else'],
    ]
    for (const [fields, cookie] of tries) {
      const page = await post('/login', login(shopper, { next: '/orders', ...fields }), cookie)
      expect(page.statusCode).toBe(403)
      expect(page.cookies.map(({ name }) => name)).not.toContain('blitz')
      // What was typed is there again, but for the password.
      expect(page.body).toContain(`value="${shopper.phone}"`)
      expect(page.body).toContain('name="next" value="/orders"')
      expect(page.body).not.toContain(shopper.password)
      expect(page.body).toContain(en['refusal.csrf-invalid'])
    }
    const done = await post('/login', login(shopper, { formToken: own.formToken }), own.cookie)
    expect(done.statusCode).toBe(303)
  })

  it('that was shown again for its old token works then', async () => {
    const shopper = await newShopper(api)
    const page = await post('/login', login(shopper), '')
    const formToken = /name="formToken" value="([^"]+)"/.exec(page.body)?.[1] ?? ''
    const done = await post('/login', login(shopper, { formToken }), cookieOf(page))
    expect(done.statusCode).toBe(303)
  })

  it('of somebody’s own needs the token of that very session', async () => {
    const saleId = await addWarmSale(api.stores)
    const [shopper, attacker] = [await newShopper(api), await newShopper(api)]
    const visitors = await openForm(api)
    const attackers = await openForm(api, attacker.cookie)
    const own = await openForm(api, shopper.cookie)
    for (const url of [`/sales/${saleId}/buy`, '/orders/00000000000000000000000000/pay', '/logout']) {
      for (const { formToken, cookie } of [
        { formToken: '', cookie: own.cookie },
        // With the attacker's form cookie planted beside the victim's session.
        {
          formToken: attackers.formToken,
          cookie: `${shopper.cookie}; ${attackers.cookie.split('; ')[1] ?? ''}`,
        },
        { formToken: visitors.formToken, cookie: `${shopper.cookie}; ${visitors.cookie}` },
      ]) {
        const page = await post(url, { formToken }, cookie)
        expect([url, page.statusCode]).toEqual([url, 403])
        expect(page.body).toContain(en['error.csrf-invalid'])
      }
    }
    expect((await shopper.call({ url: '/api/v1/me' })).statusCode).toBe(200)
    const bought = await post(`/sales/${saleId}/buy`, { formToken: own.formToken }, own.cookie)
    // The form was taken; what is missing now is the human check.
    expect(bought.headers.location).toMatch(/^\/sales\/\d+\/check/)
  })

  it('of somebody whose session has ended leads to the login, not to a refusal', async () => {
    const saleId = await addWarmSale(api.stores)
    const answer = await post(`/sales/${saleId}/buy`, {}, '')
    expect(answer.headers.location).toBe(`/login?next=%2Fsales%2F${saleId}`)
  })

  it('in every page that posts one has a token', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const { orderId } = (await shopper.call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders` })).json<{
      orderId: string
    }>()
    let forms = 0
    for (const cookie of ['', shopper.cookie]) {
      for (const url of [
        '/',
        '/login',
        '/register',
        `/sales/${saleId}`,
        '/orders',
        `/orders/${orderId}`,
        '/nowhere',
      ]) {
        const { body } = await api.app.inject({ url, headers: { ...HTML, cookie } })
        const posted = body.match(/<form[^>]*method="post"[\s\S]*?<\/form>/g) ?? []
        forms += posted.length
        for (const one of posted) expect(one).toMatch(/name="formToken" value="[\w-]{20,}"/)
      }
    }
    expect(forms).toBeGreaterThan(6)
  })
})
