import { randomBytes } from 'node:crypto'

import { Signer } from '@fastify/cookie'
import { createLog } from '@blitzbuy/core/log'
import { redisReady } from '@blitzbuy/core/redis/connect-redis'
import { sessionKey } from '@blitzbuy/core/user/sessions'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import { buildApi } from '../src/app.ts'
import { wireCore, type Core } from '../src/wire-core.ts'
import { cookieOf, newPhone, newShopper, useOwnApi } from './own-api.ts'

const NEW_SECRET = 'n'.repeat(32)
const OLD_SECRET = 's'.repeat(32)
const api = useOwnApi({ SESSION_SECRETS: `${NEW_SECRET},${OLD_SECRET}`, SESSION_ABSOLUTE_SECONDS: '3600' })
let saleId: number
beforeAll(async () => {
  saleId = await addWarmSale(api.stores, { quota: 1_000 })
})

/** The session ids that both readers are asked for have no local copy: each comes from the store. */
async function live(changes: { createdAtMs?: number } = {}): Promise<string> {
  const sessionId = randomBytes(24).toString('base64url')
  const account = {
    userId: Math.floor(Math.random() * 1e9),
    nickname: 'A',
    phoneMasked: '',
    role: 'shopper' as const,
  }
  const expires = new Date(Date.now() + 3_600_000)
  const content = {
    account,
    createdAtMs: Date.now(),
    cookie: { expires, originalMaxAge: 3_600_000 },
    ...changes,
  }
  await api.stores.redis.set(sessionKey(sessionId), JSON.stringify(content), 'PX', 3_600_000)
  return sessionId
}
const sign = (sessionId: string, secret = NEW_SECRET) => new Signer([secret]).sign(sessionId)
const encoded = (sessionId: string, secret?: string) => encodeURIComponent(sign(sessionId, secret))

describe('the two readers of a session, the plugin and the purchase route', () => {
  it.each<[string, boolean, () => Promise<string>]>([
    ['a good cookie', true, async () => `blitz=${encoded(await live())}`],
    [
      'one that was signed with the old secret',
      true,
      async () => `blitz=${encoded(await live(), OLD_SECRET)}`,
    ],
    ['one that nobody encoded', true, async () => `blitz=${sign(await live())}`],
    ['spaces around it', true, async () => `  a=b ;  blitz = ${encoded(await live())}  ; c=d`],
    [
      'a cookie of a longer name before it',
      true,
      async () => `xblitz=1; blitz2=2; blitz=${encoded(await live())}`,
    ],
    ['the name twice, the good one first', true, async () => `blitz=${encoded(await live())}; blitz=junk`],
    ['the name twice, the good one last', false, async () => `blitz=junk; blitz=${encoded(await live())}`],
    ['an unknown secret', false, async () => `blitz=${encoded(await live(), 'x'.repeat(32))}`],
    [
      'a flipped bit',
      false,
      async () => `blitz=${encoded(await live()).replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))}`,
    ],
    ['a cut signature', false, async () => `blitz=${encoded(await live()).slice(0, -3)}`],
    ['no signature', false, async () => `blitz=${await live()}`],
    ['another name', false, async () => `session=${encoded(await live())}`],
    ['the name of the https site', false, async () => `__Host-blitz=${encoded(await live())}`],
    ['the name in capitals', false, async () => `BLITZ=${encoded(await live())}`],
    ['quotes', false, async () => `blitz="${encoded(await live())}"`],
    [
      'encoded twice',
      false,
      async () => {
        // A signature without + and / is the same once and twice encoded.
        let cookie = encoded(await live())
        while (!cookie.includes('%')) cookie = encoded(await live())
        return `blitz=${encodeURIComponent(cookie)}`
      },
    ],
    ['a broken encoding', false, async () => `blitz=%E0%A4%A; other=${encoded(await live())}`],
    ['1 KB of junk', false, async () => `blitz=${'x'.repeat(1_024)}`],
    [
      'a session that was ended',
      false,
      async () => {
        const sessionId = await live()
        await api.core.sessions.end(sessionId)
        return `blitz=${encoded(sessionId)}`
      },
    ],
    [
      'a session that was idle for too long',
      false,
      async () => {
        const sessionId = await live()
        await api.stores.redis.pexpire(sessionKey(sessionId), 1)
        await expect.poll(() => api.stores.redis.exists(sessionKey(sessionId))).toBe(0)
        return `blitz=${encoded(sessionId)}`
      },
    ],
    [
      'a session beyond its absolute end',
      false,
      async () => {
        return `blitz=${encoded(await live({ createdAtMs: Date.now() - 3_601_000 }))}`
      },
    ],
    ['no name', false, async () => encoded(await live())],
    ['nothing', false, async () => ''],
  ])('agree about %s: %s', async (_what, isSomebody, makeCookie) => {
    const cookie = await makeCookie()
    // Whichever comes first must not help the other by its local copy.
    for (const order of [1, -1]) {
      const ask = [
        () => api.app.inject({ url: '/api/v1/me', headers: { cookie } }),
        () => api.app.inject({ method: 'POST', url: `/api/v1/sales/${saleId}/orders`, headers: { cookie } }),
      ]
      const statuses: number[] = []
      for (const each of order === 1 ? ask : ask.toReversed()) {
        api.core.sessions.forgetAll()
        statuses.push((await each()).statusCode)
      }
      expect(statuses.every((status) => status !== 401)).toBe(isSomebody)
      expect(statuses.some((status) => status === 401)).toBe(!isSomebody)
    }
  })
})

describe('the id of a session', () => {
  it('is 192 bits without a clock or a count in them: 64 of them have nothing in common', async () => {
    const ids = new Set<bigint>()
    for (let times = 0; times < 64; times += 1) {
      const { cookie } = await newShopper(api)
      const id = decodeURIComponent(cookie.split('=')[1] ?? '').split('.')[0] ?? ''
      const bytes = Buffer.from(id, 'base64url')
      expect(bytes).toHaveLength(24)
      ids.add(BigInt(`0x${bytes.toString('hex')}`))
    }
    expect(ids.size).toBe(64)
    for (let bit = 0n; bit < 192n; bit += 1n) {
      const ones = [...ids].filter((id) => ((id >> bit) & 1n) === 1n).length
      // Seven deviations from a half: by chance once in billions of runs.
      expect(Math.abs(ones - 32)).toBeLessThan(28)
    }
  })
})

describe('a rotated secret', () => {
  it('logs nobody out: the cookie of the old one is taken and signed anew', async () => {
    const cookie = `blitz=${encoded(await live(), OLD_SECRET)}`
    const answer = await api.app.inject({ url: '/api/v1/me', headers: { cookie } })
    expect(answer.statusCode).toBe(200)
    expect(answer.cookies).toHaveLength(1)
    const renewed = cookieOf(answer)
    expect(renewed).not.toBe(cookie)
    expect(answer.cookies[0]).toMatchObject({ httpOnly: true, sameSite: 'Lax', path: '/' })
    const next = await api.app.inject({ url: '/api/v1/me', headers: { cookie: renewed } })
    expect([next.statusCode, next.cookies]).toEqual([200, []])
  })
})

describe('an api of an https site', () => {
  it('sets a __Host- cookie that is Secure, also behind a proxy that ends TLS', async () => {
    const config = { ...api.config, PUBLIC_ORIGIN: 'https://shop.test' }
    const https = await buildApi({ config, core: api.core, log: createLog({ name: 'api', level: 'fatal' }) })
    const answer = await https.inject({
      method: 'POST',
      url: '/api/v1/auth/register',
      payload: { phone: newPhone(), password: 'correct horse battery' },
    })
    expect(answer.headers['set-cookie']).toMatch(
      /^__Host-blitz=[^;]+; Path=\/; Expires=[^;]+; HttpOnly; Secure; SameSite=Lax$/i,
    )
    await https.close()
  })
})

describe('an api without Redis', () => {
  let app: FastifyInstance
  let core: Core
  let cookie: string
  beforeAll(async () => {
    cookie = (await newShopper(api)).cookie
    const log = createLog({ name: 'api', level: 'fatal' })
    const config = { ...api.config, REDIS_URL: 'redis://127.0.0.1:1' }
    core = wireCore(config, log)
    await expect(redisReady(core.redis, 50)).rejects.toThrow('redis is away')
    app = await buildApi({ config, core, log })
  }, 30_000)
  afterAll(async () => {
    await app.close()
    await core.close()
  })

  it.each(['/', '/login', '/register'])('shows %s to everybody, and clears nobody’s cookie', async (url) => {
    for (const headers of [{}, { cookie }, { cookie: 'blitz=junk' }]) {
      const page = await app.inject({ url, headers: { ...headers, accept: 'text/html' } })
      expect([page.statusCode, withoutFormCookie(page)]).toEqual([200, []])
      if (headers.cookie === cookie) expect(page.body).toContain('whether you are logged in')
    }
  })

  it('shows a sale, and refuses only what belongs to one person, with 503', async () => {
    const page = await app.inject({ url: `/sales/${saleId}`, headers: { cookie, accept: 'text/html' } })
    expect([page.statusCode, withoutFormCookie(page)]).toEqual([200, []])
    for (const url of [
      '/orders',
      '/account/sessions',
      '/api/v1/me',
      '/api/v1/orders',
      '/api/v1/me/sessions',
    ]) {
      const answer = await app.inject({ url, headers: { cookie } })
      expect([url, answer.statusCode, answer.headers['retry-after']]).toEqual([url, 503, '1'])
    }
    for (const url of ['/auth/login', '/auth/register']) {
      const payload = { phone: newPhone(), password: 'correct horse battery' }
      const answer = await app.inject({ method: 'POST', url: `/api/v1${url}`, payload })
      if (url === '/auth/login') expect(answer.statusCode).toBe(503)
    }
    for (const url of ['/auth/logout', '/auth/logout-all']) {
      const answer = await app.inject({ method: 'POST', url: `/api/v1${url}`, headers: { cookie } })
      expect([url, answer.statusCode]).toEqual([url, 503])
    }
  })
})

/** Every page with a form brings the cookie of its token; it says nothing about who is logged in. */
function withoutFormCookie(page: LightMyRequestResponse): unknown[] {
  return page.cookies.filter(({ name }) => name !== 'blitz-form')
}
