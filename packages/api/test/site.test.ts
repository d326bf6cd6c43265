import { request as httpRequest } from 'node:http'
import { connect, type AddressInfo } from 'node:net'

import { createLog } from '@blitzbuy/core/log'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import { buildApi } from '../src/app.ts'
import { en } from '../src/messages/en.ts'
import {
  PUBLIC_ORIGIN,
  cookieOf,
  newPhone,
  newShopper,
  passGate,
  openForm,
  useOwnApi,
  type Shopper,
} from './own-api.ts'

const api = useOwnApi()
const HTML = { accept: 'text/html' }
const FORM = { ...HTML, 'content-type': 'application/x-www-form-urlencoded' }
const JSON_BODY = { 'content-type': 'application/json' }
const form = (fields: Record<string, string>) => new URLSearchParams(fields).toString()
const codeOf = (answer: { json(): unknown }) => (answer.json() as { code: string }).code

/** The api as it is behind https. */
let secure: FastifyInstance
/** The api on a socket, for what `inject` cannot send. */
let port: number
beforeAll(async () => {
  const log = createLog({ name: 'api', level: 'silent' })
  secure = await buildApi({
    config: { ...api.config, PUBLIC_ORIGIN: 'https://shop.test' },
    core: api.core,
    log,
  })
  await api.app.listen({ host: '127.0.0.1', port: 0 })
  port = (api.app.server.address() as AddressInfo).port
})
afterAll(() => secure.close())

/** What comes back for bytes that are sent as they stand. */
function sendRaw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

const CSP =
  "default-src 'self';script-src 'self';style-src 'self';img-src 'self' data:;object-src 'none';" +
  "base-uri 'none';form-action 'self';frame-ancestors 'none'"
const ON_EVERY_ANSWER = {
  'content-security-policy': CSP,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': expect.stringContaining('camera=()'),
}

describe('every answer', () => {
  it.each<[string, number, InjectOptions]>([
    ['a page', 200, { url: '/login', headers: HTML }],
    ['a redirect', 303, { url: '/orders', headers: HTML }],
    ['JSON', 200, { url: '/api/v1/time' }],
    ['an asset', 200, { url: '/assets/app.js' }],
    ['an asset that has not changed', 304, { url: '/assets/app.js' }],
    ['the style sheet of a package', 200, { url: '/assets/bootstrap.min.css' }],
    ['a 404 as a page', 404, { url: '/nowhere', headers: HTML }],
    ['a 404 as a problem', 404, { url: '/api/v1/nowhere' }],
    ['a 405', 405, { url: '/api/v1/auth/login' }],
    ['a missing login', 401, { url: '/api/v1/me' }],
    ['a cross-site refusal', 403, { method: 'POST', url: '/login', headers: { origin: 'null' } }],
    [
      'a body that is none',
      400,
      { method: 'POST', url: '/api/v1/auth/login', headers: JSON_BODY, payload: '{' },
    ],
    [
      'a body that is too large',
      413,
      { method: 'POST', url: '/api/v1/auth/login', headers: JSON_BODY, payload: ' '.repeat(20_000) },
    ],
    ['a path that cannot be decoded', 404, { url: '/sales/%E0%A4%A' }],
    ['a path that is too long', 404, { url: `/sales/${'1'.repeat(500)}` }],
  ])('has the headers that keep a browser in its bounds: %s', async (what, status, options) => {
    const headers: Record<string, unknown> = { ...options.headers }
    if (what.includes('not changed')) {
      const first = await api.app.inject(options)
      headers['if-none-match'] = String(first.headers.etag)
    }
    const answer = await api.app.inject({ ...options, headers } as InjectOptions)
    expect([what, answer.statusCode]).toEqual([what, status])
    expect(answer.headers).toMatchObject(ON_EVERY_ANSWER)
    expect(answer.headers).not.toHaveProperty('strict-transport-security')
    expect(answer.headers).not.toHaveProperty('x-powered-by')
    expect(answer.headers).not.toHaveProperty('server')

    const overTls = await secure.inject({ ...options, headers } as InjectOptions)
    expect(overTls.headers['strict-transport-security']).toBe('max-age=31536000; includeSubDomains')
  })

  it('of an error that nobody foresaw has them too, and tells nothing of it', async () => {
    const log = createLog({ name: 'api', level: 'silent' })
    const core = {
      ...api.core,
      saleViews: {
        ...api.core.saleViews,
        list: () => Promise.reject(new Error('SELECT secret FROM users at 10.1.2.3:3306')),
      },
    }
    const broken = await buildApi({ config: api.config, core, log })
    for (const [url, headers] of [
      ['/api/v1/sales', {}],
      ['/', HTML],
    ] as const) {
      const answer = await broken.inject({ url, headers })
      expect(answer.statusCode).toBe(500)
      expect(answer.headers).toMatchObject(ON_EVERY_ANSWER)
      expect(answer.body).not.toMatch(/secret|SELECT|10\.1\.2\.3|\bat \S+:\d+|node_modules|\.ts\b/)
    }
    await broken.close()
  })

  it.each([
    ['no HTTP at all', 'hello\r\n\r\n', 400, 'request-invalid'],
    [
      'headers without end',
      `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers-too-large',
    ],
    [
      'two lengths',
      'POST /login HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx',
      400,
      'request-invalid',
    ],
    [
      'a length and chunks',
      'POST /login HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'request-invalid',
    ],
    [
      'a chunked that is not last',
      'POST /login HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, x\r\n\r\n0\r\n\r\n',
      400,
      'request-invalid',
    ],
    [
      'a bare line feed in a header',
      'GET / HTTP/1.1\r\nhost: x\r\na: b\nc: d\r\n\r\n',
      400,
      'request-invalid',
    ],
    ['a space before the colon', 'GET / HTTP/1.1\r\nhost : x\r\n\r\n', 400, 'request-invalid'],
  ])(
    'to %s is a problem with the same headers, and the connection ends',
    async (_what, text, status, code) => {
      const answer = await sendRaw(text)
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      expect(answer).toContain(`"code":"${code}"`)
      expect(answer).toContain(`content-security-policy: ${CSP}`)
      expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1)
    },
  )

  it('names what it is: JSON as JSON, text with its charset', async () => {
    const types = await Promise.all(
      ['/api/v1/time', '/login', '/assets/app.js', '/assets/app.css', '/assets/icon.svg'].map(
        async (url) => (await api.app.inject(url)).headers['content-type'],
      ),
    )
    expect(types).toEqual([
      'application/json; charset=utf-8',
      'text/html; charset=utf-8',
      expect.stringMatching(/^(?:text|application)\/javascript; charset=utf-8$/),
      'text/css; charset=utf-8',
      expect.stringMatching(/^image\/svg\+xml/),
    ])
  })
})

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

describe('a body', () => {
  const register = (payload: string) =>
    api.app.inject({ method: 'POST', url: '/api/v1/auth/register', headers: JSON_BODY, payload })

  it.each([
    ['a prototype', `{"phone":"+8613800138000","password":"long enough","__proto__":{"role":"operator"}}`],
    [
      'a constructor',
      `{"phone":"+8613800138000","password":"long enough","constructor":{"prototype":{"role":"operator"}}}`,
    ],
    ['an object for a string', `{"phone":{"toString":1},"password":{"password":1}}`],
    ['an array for a string', `{"phone":["+8613800138000"],"password":"long enough"}`],
    ['nothing but depth', '['.repeat(8_000) + ']'.repeat(8_000)],
    [
      'depth inside a field',
      `{"phone":${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)},"password":"long enough"}`,
    ],
    ['a number beyond numbers', '{"phone":1e999,"password":"long enough"}'],
    ['a byte order mark and junk', '\uFEFF{]'],
    ['single quotes', `{'phone':'1','password':'x'}`],
    ['a comment', '{"phone":"1"/* */,"password":"x"}'],
    [
      'a field that appears twice, wrong at last',
      '{"phone":"+8613800138000","phone":1,"password":"long enough"}',
    ],
  ])('with %s is refused and changes nothing', async (_what, payload) => {
    const answer = await register(payload)
    expect([answer.statusCode, codeOf(answer)]).toEqual([400, 'request-invalid'])
    expect(({} as { role?: string }).role).toBeUndefined()
    expect(answer.cookies).toEqual([])
  })

  it.each(['role', 'isBlacklisted', 'id', 'userId', 'passwordHash', 'createdAt', 'phoneMasked', 'deviceId'])(
    'cannot set what is not for the client to set: %s',
    async (field) => {
      const phone = newPhone()
      const answer = await register(JSON.stringify({ phone, password: 'correct horse', [field]: 'operator' }))
      expect(answer.json()).toMatchObject({
        code: 'request-invalid',
        errors: [{ field, message: 'is not a known field' }],
      })
      const [rows] = await api.stores.mysql.use(({ connection }) =>
        connection.query('SELECT id FROM users WHERE phone = ?', [phone]),
      )
      expect(rows).toEqual([])
    },
  )

  it('of a form cannot set them either', async () => {
    const phone = newPhone()
    const { formToken, cookie } = await openForm(api)
    const done = await api.app.inject({
      method: 'POST',
      url: '/register',
      headers: { ...FORM, cookie },
      payload: form({
        formToken,
        phone,
        password: 'correct horse',
        role: 'operator',
        id: '1',
        '__proto__[role]': 'operator',
      }),
    })
    expect(done.statusCode).toBe(303)
    const me = await api.app.inject({ url: '/api/v1/me', headers: { cookie: cookieOf(done) } })
    expect(me.json()).toMatchObject({ role: 'shopper' })
  })

  it.each([
    ['text/plain', '{"phone":"1","password":"x"}'],
    ['multipart/form-data; boundary=x', '--x--'],
    ['application/x-www-form-urlencoded', 'phone=1&password=x'],
    ['application/xml', '<a/>'],
    ['application/json5', '{}'],
  ])('of a type that a plain form of another site can send is not JSON: %s', async (type, payload) => {
    const answer = await api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      headers: { 'content-type': type },
      payload,
    })
    expect([answer.statusCode, codeOf(answer)]).toEqual([415, 'media-type-unsupported'])
  })

  it.each([
    ["' OR 1=1 -- ", 'x'],
    ['"; DROP TABLE users; --', "' OR '1'='1"],
    ['+86 138 0013 8000\0', "x' UNION SELECT password_hash FROM users -- "],
  ])('is never a part of a statement: %s', async (phone, password) => {
    const answer = await api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      payload: { phone, password },
    })
    expect([answer.statusCode, codeOf(answer)]).toEqual([401, 'credentials-invalid'])
    const shopper = await newShopper(api)
    const list = await shopper.call({ url: `/api/v1/orders?cursor=${encodeURIComponent(phone)}` })
    expect([200, 400]).toContain(list.statusCode)
  })
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
      .filter(([url]) => !url.startsWith('/assets/'))
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
    '/assets/bootstrap.min.css.map',
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
