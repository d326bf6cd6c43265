import { createLog } from '@blitzbuy/core/log'
import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { describe, expect, it, vi } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import { readCaptcha } from '../../../test/pass-gate.ts'
import { buildApi } from '../src/app.ts'
import type { ApiConfig } from '../src/config.ts'
import { wireCore } from '../src/wire-core.ts'
import { PUBLIC_ORIGIN, cookieOf, newPhone, newShopper, openForm, useOwnApi } from './own-api.ts'

const PASSWORD = 'canary-password-91b7e2'
const NICKNAME = 'canary-nickname-5c0a'
const DSN_PASSWORD = 'canary-dsn-3fd84c'
const JUNK = 'canary-junk-77aa10'
const HOSTILE = `${JUNK}","level":60,"msg":"forged"} \u001B[31m`

const own = useOwnApi()

/** The api with everything it writes, at the most talkative level. */
async function talkativeApi(changes: Partial<ApiConfig> = {}) {
  const lines: string[] = []
  const log = createLog({ name: 'api', level: 'trace' }, { write: (line) => void lines.push(line) })
  const config = { ...own.config, ...changes }
  const core = wireCore(config, log)
  const app = await buildApi({ config, core, log })
  await app.ready()
  const answers: string[] = []
  const call = async (options: InjectOptions) => {
    const answer = await app.inject(options)
    if (answer.statusCode >= 400) answers.push(`${JSON.stringify(answer.headers)}${answer.body}`)
    return answer
  }
  return {
    core,
    call,
    api: { ...own, app, core },
    lines,
    refusals: answers,
    close: async () => {
      await app.close()
      await core.close()
    },
  }
}

function expectOneLineEach(lines: string[]): void {
  for (const line of lines) {
    expect(line.indexOf('\n')).toBe(line.length - 1)
    expect(JSON.parse(line)).toMatchObject({ level: expect.any(Number), name: 'api' })
    expect((JSON.parse(line) as { msg?: string }).msg).not.toBe('forged')
  }
}

describe('the log and the refusals', () => {
  it('of a whole purchase hold no password, phone, cookie, token or header of a client', async () => {
    const { core, call, api, lines, refusals, close } = await talkativeApi()
    await vi.waitFor(() => expect(core.redis.status).toBe('ready'))
    const saleId = await addWarmSale(own.stores)
    const phone = newPhone()
    const credentials = { phone, password: PASSWORD }
    const hostile = {
      'user-agent': HOSTILE,
      'x-request-id': HOSTILE,
      referer: HOSTILE,
      cookie: `blitz=${JUNK}`,
    }

    const registered = await call({
      method: 'POST',
      url: '/api/v1/auth/register',
      payload: { ...credentials, nickname: NICKNAME },
    })
    expect(registered.statusCode).toBe(201)
    const cookie = cookieOf(registered)
    await call({ method: 'POST', url: '/api/v1/auth/register', payload: credentials })
    await call({
      method: 'POST',
      url: '/api/v1/auth/login',
      payload: { phone, password: `${PASSWORD}-wrong` },
    })
    await call({ method: 'POST', url: '/api/v1/auth/login', payload: credentials })
    const url = `/api/v1/sales/${saleId}`
    const challenge = await call({ method: 'POST', url: `${url}/captchas`, headers: { cookie } })
    const { captchaId } = challenge.json<{ captchaId: string }>()
    const answer = await readCaptcha(api.stores, captchaId)
    const passed = await call({
      method: 'POST',
      url: `${url}/purchase-tokens`,
      headers: { cookie },
      payload: { captchaId, answer },
    })
    const { purchaseToken } = passed.json<{ purchaseToken: string }>()
    const bought = await call({
      method: 'POST',
      url: `${url}/orders`,
      headers: { cookie, 'x-purchase-token': purchaseToken },
    })
    expect(bought.statusCode).toBe(202)
    await call({ method: 'POST', url: `${String(bought.headers.location)}/payments`, headers: { cookie } })

    // What a client sends to be seen by whoever reads the log.
    for (const url of [
      `/${JUNK}?token=${JUNK}`,
      `/sales/${JUNK}`,
      `/%0d%0a${JUNK}`,
      `/sales/%E0%A4%A${JUNK}`,
    ]) {
      await call({ url, headers: hostile })
      await call({ url: `/api/v1${url}`, headers: { ...hostile, 'x-purchase-token': JUNK } })
    }
    await call({
      method: 'POST',
      url: '/api/v1/auth/login',
      headers: hostile,
      payload: { phone: HOSTILE, password: PASSWORD },
    })
    await call({
      method: 'POST',
      url: '/api/v1/auth/login',
      headers: { 'content-type': 'application/json' },
      payload: `{"phone":"${phone}","password":"${PASSWORD}"`,
    })
    const { formToken, cookie: formCookie } = await openForm(api)
    for (const token of [formToken, JUNK]) {
      await call({
        method: 'POST',
        url: '/login',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          origin: PUBLIC_ORIGIN,
          accept: 'text/html',
          cookie: formCookie,
        },
        payload: new URLSearchParams({ formToken: token, phone: newPhone(), password: PASSWORD }).toString(),
      })
    }
    await close()

    const sessionId = decodeURIComponent(cookie).split('=')[1]?.split('.')[0] ?? ''
    const log = lines.join('')
    for (const secret of [
      PASSWORD,
      NICKNAME,
      JUNK,
      phone,
      phone.slice(3),
      sessionId,
      formToken,
      own.config.SESSION_SECRETS,
    ]) {
      expect(log).not.toContain(secret)
    }
    expect(refusals.length).toBeGreaterThan(10)
    for (const secret of [PASSWORD, sessionId, own.config.SESSION_SECRETS]) {
      expect(refusals.join('')).not.toContain(secret)
    }
    // No problem says back what was sent. The form alone does, to whoever filled it in.
    expect(refusals.filter((text) => text.includes(JUNK))).toEqual([])
    expectOneLineEach(lines)
  })

  it('say of each login who it was, and of each refused one why and from where', async () => {
    const { core, call, lines, close } = await talkativeApi()
    await vi.waitFor(() => expect(core.redis.status).toBe('ready'))
    const shopper = await newShopper(own)
    const logIn = (password: string) =>
      call({
        method: 'POST',
        url: '/api/v1/auth/login',
        headers: { 'x-forwarded-for': shopper.address },
        payload: { phone: shopper.phone, password },
      })
    const [done, refused] = [await logIn(shopper.password), await logIn('another password')]
    await close()
    const saidOf = (answer: LightMyRequestResponse) =>
      lines
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ requestId }) => requestId === answer.headers['x-request-id'])
    expect(saidOf(done)).toContainEqual(expect.objectContaining({ msg: 'logged in', userId: shopper.userId }))
    expect(saidOf(refused)).toContainEqual(
      expect.objectContaining({
        msg: 'login refused',
        code: 'credentials-invalid',
        address: shopper.address,
      }),
    )
  })

  it('of stores that refuse us hold neither their passwords nor their addresses', async () => {
    const withPassword = (url: string, user: string) =>
      Object.assign(new URL(url), { username: user, password: DSN_PASSWORD }).href
    const { call, lines, refusals, close } = await talkativeApi({
      MYSQL_URL: withPassword(own.config.MYSQL_URL, 'nobody'),
      REDIS_URL: withPassword(own.config.REDIS_URL, 'nobody'),
      AMQP_URL: withPassword(own.config.AMQP_URL, 'nobody'),
    })
    await vi.waitFor(() => expect(lines.join('')).toContain('broker is away'), 10_000)
    const credentials = { phone: newPhone(), password: PASSWORD }
    for (const options of [
      { url: '/api/v1/sales' },
      { url: '/', headers: { accept: 'text/html' } },
      { method: 'POST' as const, url: '/api/v1/auth/login', payload: credentials },
      { method: 'POST' as const, url: '/api/v1/auth/register', payload: credentials },
    ]) {
      expect((await call(options)).statusCode).toBeGreaterThanOrEqual(500)
    }
    await close()

    const log = lines.join('')
    expect(log).toContain('request')
    for (const secret of [DSN_PASSWORD, encodeURIComponent(DSN_PASSWORD), PASSWORD, credentials.phone]) {
      expect(log).not.toContain(secret)
    }
    const { host } = new URL(own.config.MYSQL_URL)
    for (const text of refusals) {
      for (const secret of [
        DSN_PASSWORD,
        PASSWORD,
        host,
        'nobody',
        'ER_',
        'ECONN',
        'node_modules',
        'SELECT',
      ]) {
        expect(text).not.toContain(secret)
      }
    }
    expectOneLineEach(lines)
  })

  it('of a statement that fails hold neither the statement nor what was in it', async () => {
    const { core, call, lines, refusals, close } = await talkativeApi()
    await vi.waitFor(() => expect(core.redis.status).toBe('ready'))
    await own.stores.mysql.use(({ connection }) => connection.query('RENAME TABLE users TO users_away'))
    const credentials = { phone: newPhone(), password: PASSWORD }
    try {
      for (const url of ['/api/v1/auth/login', '/api/v1/auth/register']) {
        expect((await call({ method: 'POST', url, payload: credentials })).statusCode).toBe(500)
      }
    } finally {
      await own.stores.mysql.use(({ connection }) => connection.query('RENAME TABLE users_away TO users'))
    }
    await close()
    const all = lines.join('') + refusals.join('')
    expect(lines.join('')).toContain('ER_NO_SUCH_TABLE')
    for (const secret of [PASSWORD, credentials.phone, 'select ', 'insert ', '$argon2']) {
      expect(all).not.toContain(secret)
    }
    expect(refusals.join('')).not.toMatch(/ER_|users|\bat \S+:\d+/)
  })
})

describe('a broker that is lost', () => {
  it('is told without its password', async () => {
    const lines: string[] = []
    const log = createLog({ name: 'api', level: 'trace' }, { write: (line) => void lines.push(line) })
    const broker = connectBroker({
      url: `amqp://nobody:${DSN_PASSWORD}@127.0.0.1:1/%2F`,
      namespace: own.config.NAMESPACE,
      role: 'publisher',
      log,
    })
    await vi.waitFor(() => expect(lines.length).toBeGreaterThan(0), 5_000)
    await broker.close()
    expect(lines.join('')).not.toContain(DSN_PASSWORD)
  })
})
