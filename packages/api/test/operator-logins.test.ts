import { totpAt } from '@blitzbuy/core/user/totp'
import type { InjectOptions } from 'fastify'
import { beforeAll, describe, expect, it } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import {
  newOperator,
  newOperatorLogin,
  postForm,
  promote,
  secretOf,
  type OperatorAtWork,
} from './operator-at-work.ts'
import { cookieOf, newShopper, useOwnApi } from './own-api.ts'

const api = useOwnApi()
const HTML = { accept: 'text/html' }
let operator: OperatorAtWork
let colleague: OperatorAtWork
beforeAll(async () => {
  ;[operator, colleague] = await Promise.all([newOperator(api), newOperator(api)])
}, 60_000)

const codeOf = (answer: { json(): unknown }) => (answer.json() as { code?: string }).code

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

describe('everything under /admin', () => {
  /** From the table of routes: one that is added tomorrow is tried as well. */
  function routes(): { method: Method; url: string; isApi: boolean }[] {
    const found = [...api.app.methodsByUrl].flatMap(([url, methods]) =>
      [...methods].map((method) => ({
        method: method as Method,
        url: url.replaceAll(/:\w+/g, '1'),
        isApi: url.startsWith('/api/'),
      })),
    )
    return found.filter(({ url }) => /^(?:\/api\/v1)?\/admin(?:\/|$)/.test(url))
  }
  const options = ({ method, url, isApi }: ReturnType<typeof routes>[number]): InjectOptions => ({
    method,
    url,
    ...(!isApi && { headers: HTML }),
    ...(isApi && !['GET', 'HEAD'].includes(method) && { payload: {} }),
  })

  it('is there: pages and JSON', () => {
    expect(routes().filter(({ isApi }) => isApi).length).toBeGreaterThan(20)
    expect(routes().filter(({ isApi }) => !isApi).length).toBeGreaterThan(30)
  })

  it('sends a visitor to the login, and tells a client without one 401', async () => {
    for (const route of routes()) {
      const answer = await api.app.inject(options(route))
      const expected = route.isApi ? 401 : 303
      expect([route.method, route.url, answer.statusCode]).toEqual([route.method, route.url, expected])
      if (!route.isApi) expect(answer.headers.location).toMatch(/^\/login\?next=%2Fadmin/)
      else if (route.method !== 'HEAD') expect(codeOf(answer)).toBe('login-required')
    }
  })

  it('does not exist for a shopper', async () => {
    const shopper = await newShopper(api)
    for (const route of routes()) {
      const answer = await shopper.call(options(route))
      expect([route.method, route.url, answer.statusCode]).toEqual([route.method, route.url, 404])
    }
  })

  it('asks an operator with nothing but a password for the second factor first', async () => {
    const login = await newOperatorLogin(api)
    const open = new Set(['/admin/second-factor', '/admin/leave', '/api/v1/admin/session'])
    for (const route of routes().filter(({ url }) => !open.has(url))) {
      const answer = await login.call(options(route))
      const expected = route.isApi ? 401 : 303
      expect([route.method, route.url, answer.statusCode]).toEqual([route.method, route.url, expected])
      if (!route.isApi) expect(answer.headers.location).toMatch(/^\/admin\/second-factor\?next=%2Fadmin/)
      else if (route.method !== 'HEAD') expect(codeOf(answer)).toBe('second-factor-required')
    }
    expect(codeOf(await login.call({ url: '/api/v1/admin/session' }))).toBe('second-factor-required')
  })

  it('takes no form of another site, and none without its token', async () => {
    const saleId = await addWarmSale(api.stores)
    const forged = await operator.call({
      method: 'POST',
      url: `/admin/sales/${saleId}/pause`,
      headers: { ...HTML, 'content-type': 'application/x-www-form-urlencoded' },
      payload: '',
    })
    expect(forged.statusCode).toBe(403)
    const foreign = await operator.call({
      method: 'POST',
      url: `/api/v1/admin/sales/${saleId}/pause`,
      headers: { origin: 'https://evil.test' },
      payload: {},
    })
    expect([foreign.statusCode, codeOf(foreign)]).toEqual([403, 'cross-site'])
    // The token of a colleague's form is none of this session.
    const page = await colleague.page(`/admin/sales/${saleId}`)
    expect((await postForm(operator, page, `/admin/sales/${saleId}/pause`)).statusCode).toBe(403)
    expect((await api.stores.sales.find(saleId))?.state).toBe('scheduled')
  })
})

describe('an operator who logs in', () => {
  it('sets up the second factor by the page, and the cookie of before is worth nothing after', async () => {
    const login = await newOperatorLogin(api)
    const page = await login.call({ url: '/admin/second-factor', headers: HTML })
    expect(page.body).toContain('data:image/svg+xml;base64,')
    const wrong = await postForm(login, page, '/admin/second-factor', { code: '12345' })
    expect([wrong.statusCode, wrong.body.includes('4 tries are left')]).toEqual([422, true])
    const right = await postForm(login, page, '/admin/second-factor', {
      code: totpAt(secretOf(page.body), Date.now()),
    })
    expect(right.statusCode).toBe(200)
    expect(right.body.match(/<li class="code">/g)).toHaveLength(10)
    expect((await login.call({ url: '/admin', headers: HTML })).headers.location).toMatch(/^\/login/)
  })

  it('comes in by JSON with a code, and out again', async () => {
    const { phone, password, address, recoveryCodes } = await newOperator(api)
    const answer = await api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      headers: { 'x-forwarded-for': address },
      payload: { phone, password },
    })
    const as = (cookie: string, options: InjectOptions) =>
      api.app.inject({ ...options, headers: { cookie, 'x-forwarded-for': address } })
    const cookie = cookieOf(answer)
    const session = { method: 'POST', url: '/api/v1/admin/session' } as const
    const wrong = await as(cookie, { ...session, payload: { code: '000000' } })
    expect([wrong.statusCode, wrong.json()]).toMatchObject([
      422,
      { code: 'second-factor-incorrect', triesLeft: 4 },
    ])
    const right = await as(cookie, { ...session, payload: { code: recoveryCodes[0] ?? '' } })
    expect([right.statusCode, right.json()]).toMatchObject([200, { hasSecondFactor: true }])
    const inside = cookieOf(right)
    expect((await as(inside, { url: '/api/v1/admin/sales' })).statusCode).toBe(200)
    expect((await as(inside, { method: 'DELETE', url: '/api/v1/admin/session' })).statusCode).toBe(204)
    expect(codeOf(await as(inside, { url: '/api/v1/admin/sales' }))).toBe('second-factor-required')
  })

  it('is out at once when the role is taken away, whatever the session says', async () => {
    const other = await newOperator(api)
    expect((await other.page('/admin')).statusCode).toBe(200)
    await api.stores.mysql.use(({ connection }) =>
      connection.query("UPDATE users SET role = 'shopper' WHERE id = ?", [other.userId]),
    )
    expect((await other.page('/admin')).statusCode).toBe(404)
    await promote(api, other)
    expect((await other.page('/admin')).statusCode).toBe(200)
  })

  it('is asked for a code again when the mark of the session is gone', async () => {
    const other = await newOperator(api)
    const keys = await api.stores.redis.keys(`${api.stores.namespace}:operator-mark:*`)
    const marks = keys.map((key) => key.slice(api.stores.namespace.length + 1))
    for (const key of marks)
      if ((await api.stores.redis.get(key))?.startsWith(`${other.userId}:`)) await api.stores.redis.del(key)
    expect((await other.page('/admin/sales')).headers.location).toBe(
      '/admin/second-factor?next=%2Fadmin%2Fsales',
    )
  })
})
