import { connect, type AddressInfo } from 'node:net'

import { createLog } from '@blitzbuy/core/log'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { buildApi } from '../src/app.ts'
import { useOwnApi } from './own-api.ts'

const api = useOwnApi()
const HTML = { accept: 'text/html' }
const JSON_BODY = { 'content-type': 'application/json' }

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
    ['the style sheet', 200, { url: '/assets/app.css' }],
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
