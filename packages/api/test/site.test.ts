import { request as httpRequest } from 'node:http'
import { type AddressInfo } from 'node:net'

import { beforeAll, describe, expect, it } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import { newShopper, passGate, openForm, useOwnApi } from './own-api.ts'

const api = useOwnApi()
const HTML = { accept: 'text/html' }
const FORM = { ...HTML, 'content-type': 'application/x-www-form-urlencoded' }
const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString()
const codeOf = (answer: { json(): unknown }) => (answer.json() as { code: string }).code
/** The api on a socket, for what `inject` cannot send. */
let port: number
beforeAll(async () => {
  await api.app.listen({ host: '127.0.0.1', port: 0 })
  port = (api.app.server.address() as AddressInfo).port
})

describe('the route table', () => {
  /** Whom each route is for. A new route fails here until somebody has decided. */
  const ROUTES: Record<string, 'public' | 'login' | 'owner'> = {
    'GET /api/v1/time': 'public',
    'GET /api/v1/sales': 'public',
    'GET /api/v1/sales/:saleId': 'public',
    'GET /api/v1/sales/:saleId/viewer': 'login',
    'POST /api/v1/sales/:saleId/captchas': 'login',
    'POST /api/v1/sales/:saleId/purchase-tokens': 'login',
    'POST /api/v1/sales/:saleId/orders': 'login',
    'POST /api/v1/auth/register': 'public',
    'POST /api/v1/auth/login': 'public',
    'POST /api/v1/auth/logout': 'public',
    'POST /api/v1/auth/logout-all': 'login',
    'POST /api/v1/auth/password': 'login',
    'POST /api/v1/auth/captchas': 'public',
    'GET /api/v1/me': 'login',
    'GET /api/v1/me/sessions': 'login',
    'DELETE /api/v1/me/sessions/:sessionId': 'login',
    'GET /api/v1/orders': 'login',
    'GET /api/v1/orders/:orderId': 'owner',
    'GET /api/v1/orders/:orderId/events': 'owner',
    'POST /api/v1/orders/:orderId/payments': 'owner',
    'POST /api/v1/orders/:orderId/cancellation': 'owner',
    'POST /api/v1/payment-callbacks/:provider': 'public',
    'GET /sandbox-payments/:ref': 'public',
    'POST /sandbox-payments/:ref': 'public',
    'GET /': 'public',
    'GET /login': 'public',
    'POST /login': 'public',
    'GET /register': 'public',
    'POST /register': 'public',
    'POST /logout': 'public',
    'GET /sales/:saleId': 'public',
    'GET /sales/:saleId/check': 'login',
    'POST /sales/:saleId/check': 'login',
    'POST /sales/:saleId/buy': 'login',
    'GET /sales/:saleId/confirming': 'login',
    'GET /account/sessions': 'login',
    'POST /account/sessions/:id/end': 'login',
    'POST /account/sessions/end': 'login',
    'POST /account/password': 'login',
    'GET /orders': 'login',
    'GET /orders/:orderId': 'owner',
    'POST /orders/:orderId/pay': 'owner',
    'POST /orders/:orderId/cancel': 'owner',
  }
  /** What passes the schema, so that the answer is about the login. */
  const BODIES: Record<string, object> = {
    'POST /api/v1/auth/password': { old: 'a password', new: 'another password' },
    'POST /api/v1/sales/:saleId/purchase-tokens': { captchaId: 'c'.repeat(22), answer: 'abcde' },
  }
  const routes = () =>
    [...api.app.methodsByUrl]
      // Operators' routes are all alike, and tried one by one in operator-logins.test.ts.
      .filter(([url]) => !/^(?:\/assets|\/admin|\/api\/v1\/admin)(?:\/|$)/.test(url))
      .flatMap(([url, methods]) =>
        [...methods].filter((method) => method !== 'HEAD').map((method) => `${method} ${url}`),
      )
  const ofClass = (...classes: string[]) =>
    Object.entries(ROUTES).flatMap(([route, name]) => (classes.includes(name) ? [route] : []))
  const callOf = (route: string, ids: { saleId: number; orderId: string }) => {
    const [method = '', url = ''] = route.split(' ')
    return {
      method: method as 'GET' | 'POST' | 'DELETE',
      url: url.replace(':saleId', String(ids.saleId)).replace(':orderId', ids.orderId),
      headers: url.startsWith('/api/') ? {} : HTML,
      ...(BODIES[route] && { payload: BODIES[route] }),
    }
  }

  it('says of every route whom it is for', () => {
    expect(routes().toSorted()).toEqual(Object.keys(ROUTES).toSorted())
    for (const [url, methods] of api.app.methodsByUrl) {
      if (url.startsWith('/assets/')) expect([...methods].toSorted()).toEqual(['GET', 'HEAD'])
    }
  })

  it('asks for a login on every route that needs one', async () => {
    const saleId = await addWarmSale(api.stores)
    for (const route of ofClass('login', 'owner')) {
      const call = callOf(route, { saleId, orderId: '0'.repeat(26) })
      for (const cookie of ['', 'blitz=junk', 'blitz=abc.def; blitz=']) {
        const answer = await api.app.inject({ ...call, headers: { ...call.headers, cookie } })
        const verdict = answer.statusCode === 303 ? answer.headers.location : answer.statusCode
        expect([route, verdict]).toEqual([
          route,
          expect.toSatisfy((v) => v === 401 || String(v).startsWith('/login?next=')),
        ])
      }
    }
  })

  it('has nothing to show of other people’s orders, on any route,', async () => {
    const saleId = await addWarmSale(api.stores)
    const owner = await newShopper(api)
    owner.purchaseToken = await passGate(api, owner, saleId)
    const { orderId } = (await owner.call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders` })).json<{
      orderId: string
    }>()
    const stranger = await newShopper(api)
    const { formToken, cookie } = await openForm(api, stranger.cookie)
    for (const route of ofClass('owner')) {
      for (const id of [orderId, '0'.repeat(26), 'x', `${orderId}0`, orderId.toLowerCase(), '%00', '..%2f']) {
        const call = callOf(route, { saleId, orderId: id })
        const isForm = call.method === 'POST' && !call.url.startsWith('/api/')
        const answer = await api.app.inject({
          ...call,
          headers: { ...call.headers, ...(isForm && FORM), cookie },
          ...(isForm && { payload: form({ formToken }) }),
        })
        expect([route, id, answer.statusCode]).toEqual([route, id, 404])
        if (call.url.startsWith('/api/')) expect(codeOf(answer)).toBe('not-found')
      }
    }
  })

  it.each(['TRACE', 'OPTIONS', 'PUT', 'PATCH', 'DELETE'] as const)(
    'has no %s, and every address says which methods it has',
    async (method) => {
      for (const [url, methods] of api.app.methodsByUrl) {
        if (methods.has(method)) continue
        const answer = await api.app.inject({ method, url: url.replace(/:\w+/g, '1') })
        expect([url, answer.statusCode, answer.headers.allow]).toEqual([url, 405, [...methods].join(', ')])
        expect(answer.body).not.toContain('cookie')
      }
    },
  )

  it.each(['PROPFIND', 'MKCOL', 'PURGE', 'SEARCH'])(
    'knows no method of other protocols: %s',
    async (method) => {
      const status = await new Promise<number | undefined>((resolve, reject) => {
        httpRequest({ port, host: '127.0.0.1', method, path: '/' }, (answer) => {
          answer.resume()
          resolve(answer.statusCode)
        })
          .on('error', reject)
          .end()
      })
      expect(status).toBe(405)
    },
  )

  it.each([
    '/metrics',
    '/livez',
    '/readyz',
    '/healthz',
    '/openapi.json',
    '/documentation',
    '/.env',
    '/.git/config',
    '/package.json',
    '/assets/app.js.map',
    '/assets/app.css.br',
    '/assets/.git/config',
    '/assets/..%2f..%2fpackage.json',
    '/assets/%2e%2e/%2e%2e/package.json',
    '/assets//etc/passwd',
    '/assets/..%5c..%5cpackage.json',
    '/assets/app.js%00.png',
    '/assets/',
    '/assets/products/',
  ])('has no %s', async (url) => {
    expect((await api.app.inject(url)).statusCode).toBe(404)
  })
})

describe('an answer about a person', () => {
  it('has no field that is not in the contract', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    shopper.purchaseToken = await passGate(api, shopper, saleId)
    const me = (await shopper.call({ url: '/api/v1/me' })).json<object>()
    expect(Object.keys(me).toSorted()).toEqual(['nickname', 'phoneMasked', 'role', 'userId'])
    expect(JSON.stringify(me)).not.toContain(shopper.phone.slice(4))

    const bought = await shopper.call({ method: 'POST', url: `/api/v1/sales/${saleId}/orders` })
    expect(Object.keys(bought.json<object>()).toSorted()).toEqual([
      'handoff',
      'orderId',
      'pollAfterMs',
      'state',
    ])
    const order = await shopper.call({ url: String(bought.headers.location) })
    expect(Object.keys(order.json<object>()).toSorted()).toEqual([
      'aheadAbout',
      'orderId',
      'pollAfterMs',
      'quantity',
      'saleId',
      'state',
    ])
  })

  it('never has the session in its address, its text or what the next site is told', async () => {
    const shopper = await newShopper(api)
    const sessionId = decodeURIComponent(shopper.cookie).split('=')[1]?.split('.')[0] ?? ''
    expect(sessionId.length).toBeGreaterThan(20)
    for (const url of ['/', '/orders', '/api/v1/me', '/login', '/nowhere']) {
      const answer = await shopper.call({ url, headers: HTML })
      expect(answer.body).not.toContain(sessionId)
      expect(String(answer.headers.location ?? '')).not.toContain(sessionId)
      expect(answer.headers['referrer-policy']).toBe('same-origin')
    }
    // A session in the address is none.
    const byAddress = await api.app.inject(`/api/v1/me?blitz=${encodeURIComponent(shopper.cookie)}`)
    expect(byAddress.statusCode).toBe(401)
  })
})
