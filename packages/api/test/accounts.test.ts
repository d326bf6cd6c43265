import { doWork, type Work } from '@blitzbuy/core/gate/proof-of-work'
import { createLoginTries } from '@blitzbuy/core/user/login-tries'
import type { LightMyRequestResponse } from 'fastify'
import { describe, expect, it } from 'vitest'

import { readCaptcha } from '../../../test/pass-gate.ts'
import { addSale } from '../../core/test/own-stores.ts'
import { cookieOf, newPhone, newShopper, openForm, useOwnApi, type Shopper } from './own-api.ts'

const api = useOwnApi({
  LOGIN_TRIES_PER_ACCOUNT: '3',
  LOGIN_TRIES_PER_ADDRESS: '1000',
  // So slowly that nothing comes back while a test runs.
  LOGIN_TRIES_REFILL_SECONDS: '90000',
  // The limits of requests are tested elsewhere; here all come from one address.
  LIMIT_AUTH_ADDRESS: '5000/60',
})
const OTHER_PASSWORD = 'a staple of batteries'

const post = (url: string, payload?: object, headers: object = {}) =>
  api.app.inject({
    method: 'POST',
    url: `/api/v1${url}`,
    ...(payload && { payload }),
    headers: { ...headers },
  })
const me = (cookie: string) => api.app.inject({ url: '/api/v1/me', headers: { cookie } })
const logIn = (shopper: Pick<Shopper, 'phone' | 'password'>, more: object = {}, headers: object = {}) =>
  post('/auth/login', { phone: shopper.phone, password: shopper.password, ...more }, headers)
const codeOf = (answer: LightMyRequestResponse) => [answer.statusCode, answer.json<{ code: string }>().code]
const sessionsOf = async (cookie: string) =>
  (await api.app.inject({ url: '/api/v1/me/sessions', headers: { cookie } })).json<{
    sessions: { id: string; device: string; isThis: boolean }[]
  }>().sessions

/** The device cookie of an answer, as a Cookie header. */
function deviceOf(answer: LightMyRequestResponse): string {
  const cookie = answer.cookies.find(({ name }) => name === 'blitz-device')
  return `blitz-device=${encodeURIComponent(cookie?.value ?? '')}`
}

async function solveCaptcha(headers: object = {}): Promise<{ captchaId: string; answer: string }> {
  const { captchaId } = (await post('/auth/captchas', undefined, headers)).json<{ captchaId: string }>()
  return { captchaId, answer: await readCaptcha(api.stores, captchaId) }
}

async function exhaust({ phone }: Pick<Shopper, 'phone'>): Promise<void> {
  for (let times = 0; times < 3; times += 1) await logIn({ phone, password: 'a wrong guess' })
}

describe('logging out everywhere', () => {
  it('ends every session of the account, this one too, and nobody else’s', async () => {
    const shopper = await newShopper(api)
    const neighbour = await newShopper(api)
    const cookies = [shopper.cookie, cookieOf(await logIn(shopper)), cookieOf(await logIn(shopper))]
    const answer = await post('/auth/logout-all', undefined, { cookie: cookies[1] })
    expect(answer.statusCode).toBe(204)
    expect(answer.headers['clear-site-data']).toBe('"cache", "storage"')
    for (const cookie of cookies) expect((await me(cookie)).statusCode).toBe(401)
    expect((await me(neighbour.cookie)).statusCode).toBe(200)
    expect(codeOf(await post('/auth/logout-all'))).toEqual([401, 'login-required'])
  })
})

describe('logging out', () => {
  it('ends the session on the server, and has the browser drop its cookie and what it kept', async () => {
    const { cookie } = await newShopper(api)
    const answer = await post('/auth/logout', undefined, { cookie })
    expect([answer.statusCode, answer.headers['clear-site-data']]).toEqual([204, '"cache", "storage"'])
    expect(answer.cookies[0]).toMatchObject({ name: 'blitz', value: '', maxAge: 0 })
    expect((await me(cookie)).statusCode).toBe(401)
  })
})

describe('a changed password', () => {
  it('ends all other sessions, and this one goes on under a new id', async () => {
    const shopper = await newShopper(api)
    const other = cookieOf(await logIn(shopper))
    const answer = await post(
      '/auth/password',
      { old: shopper.password, new: OTHER_PASSWORD },
      { cookie: shopper.cookie },
    )
    expect(answer.statusCode).toBe(204)
    const cookie = cookieOf(answer)
    expect(cookie).not.toBe(shopper.cookie)
    expect((await me(cookie)).json()).toMatchObject({ userId: shopper.userId })
    expect((await me(other)).statusCode).toBe(401)
    expect((await me(shopper.cookie)).statusCode).toBe(401)
    expect(codeOf(await logIn(shopper))).toEqual([401, 'credentials-invalid'])
    expect((await logIn({ ...shopper, password: OTHER_PASSWORD })).statusCode).toBe(200)
  })

  it('leaves no session behind that the old one opened at the same moment', async () => {
    const shopper = await newShopper(api)
    const [changed, ...logins] = await Promise.all([
      post('/auth/password', { old: shopper.password, new: OTHER_PASSWORD }, { cookie: shopper.cookie }),
      ...Array.from({ length: 2 }, () => logIn(shopper)),
    ])
    expect(changed.statusCode).toBe(204)
    for (const login of logins.filter(({ statusCode }) => statusCode === 200))
      expect((await me(cookieOf(login))).statusCode).toBe(401)
    expect(await sessionsOf(cookieOf(changed))).toHaveLength(1)
  })

  it('needs the old one, and guesses at it are counted', async () => {
    const shopper = await newShopper(api)
    const change = (old: string, chosen: string) =>
      post('/auth/password', { old, new: chosen }, { cookie: shopper.cookie })
    expect(codeOf(await change(shopper.password, '12345678'))).toEqual([422, 'password-weak'])
    for (let times = 0; times < 3; times += 1)
      expect(codeOf(await change('a wrong guess', OTHER_PASSWORD))).toEqual([422, 'password-incorrect'])
    expect(codeOf(await change(shopper.password, OTHER_PASSWORD))).toEqual([401, 'captcha-required'])
    const check = await solveCaptcha({ cookie: shopper.cookie })
    const checked = { old: shopper.password, new: OTHER_PASSWORD, ...check }
    expect((await post('/auth/password', checked, { cookie: shopper.cookie })).statusCode).toBe(204)
    expect(codeOf(await post('/auth/password', { old: 'x', new: 'y' }))).toEqual([401, 'login-required'])
  })
})

describe('one’s own sessions', () => {
  it('are listed by device and ended one by one', async () => {
    const shopper = await newShopper(api)
    const login = await logIn(
      shopper,
      {},
      { 'user-agent': 'Mozilla/5.0 (Windows NT 10.0) Gecko/20100101 Firefox/140.0' },
    )
    const other = cookieOf(login)
    const list = await sessionsOf(shopper.cookie)
    expect(list).toHaveLength(2)
    const [theirs] = list.filter(({ isThis }) => !isThis)
    expect(theirs?.device).toBe('Firefox on Windows')
    expect(other).not.toContain(theirs?.id)

    const end = (cookie: string, id = '') =>
      api.app.inject({ method: 'DELETE', url: `/api/v1/me/sessions/${id}`, headers: { cookie } })
    const stranger = await newShopper(api)
    expect((await end(stranger.cookie, theirs?.id)).statusCode).toBe(404)
    expect((await end(shopper.cookie, theirs?.id)).statusCode).toBe(204)
    expect((await end(shopper.cookie, theirs?.id)).statusCode).toBe(404)
    expect((await me(other)).statusCode).toBe(401)
    expect((await me(shopper.cookie)).statusCode).toBe(200)
    expect((await end('', theirs?.id)).statusCode).toBe(401)
  })

  it('have a page that ends them and changes the password without a script', async () => {
    const shopper = await newShopper(api)
    const other = cookieOf(await logIn(shopper))
    const form = async (url: string, fields: Record<string, string> = {}, as = shopper.cookie) => {
      const { formToken, cookie } = await openForm(api, as)
      return api.app.inject({
        method: 'POST',
        url,
        payload: new URLSearchParams({ formToken, ...fields }).toString(),
        headers: { cookie, 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html' },
      })
    }
    const open = (cookie: string) => api.app.inject({ url: '/account/sessions', headers: { cookie } })

    expect((await open('')).headers.location).toBe('/login?next=%2Faccount%2Fsessions')
    const page = await open(shopper.cookie)
    expect(page.statusCode).toBe(200)
    const [, end = ''] = /action="(\/account\/sessions\/[\w-]+\/end)"/.exec(page.body) ?? []
    expect((await form(end)).headers.location).toBe('/account/sessions')
    expect((await me(other)).statusCode).toBe(401)

    const wrong = await form('/account/password', { old: 'a wrong guess', new: OTHER_PASSWORD })
    expect(wrong.statusCode).toBe(422)
    expect(wrong.body).toContain('The old password is incorrect.')
    expect(wrong.body).not.toContain(OTHER_PASSWORD)
    const changed = await form('/account/password', { old: shopper.password, new: OTHER_PASSWORD })
    expect(changed.headers.location).toBe('/account/sessions?notice=changed')
    const left = await form('/account/sessions/end', {}, cookieOf(changed))
    expect([left.statusCode, left.headers.location]).toEqual([303, '/'])
    expect((await me(cookieOf(changed))).statusCode).toBe(401)
  })
})

describe('guessing at an account', () => {
  it('asks for a human check after some wrong tries, the right password with one logs in', async () => {
    const shopper = await newShopper(api)
    await exhaust(shopper)
    expect(codeOf(await logIn(shopper))).toEqual([401, 'captcha-required'])
    const solved = await solveCaptcha()
    expect((await logIn(shopper, solved)).statusCode).toBe(200)
    expect(codeOf(await logIn(shopper, solved))).toEqual([422, 'captcha-expired'])
  })

  it('takes a proof of work in place of the picture, four times as hard as that of a sale', async () => {
    const shopper = await newShopper(api)
    await exhaust(shopper)
    const { captchaId, work } = (await post('/auth/captchas', { kind: 'work' })).json<{
      captchaId: string
      work: Work
    }>()
    expect(work.maxnumber).toBe(1_000_000)
    const answer = doWork(work)
    expect((await logIn(shopper, { captchaId, answer })).statusCode).toBe(200)
  })

  it('lets nobody pass with a check that is invented, wrong, used up, or both at once', async () => {
    const shopper = await newShopper(api)
    await exhaust(shopper)
    const solved = await solveCaptcha()
    expect(codeOf(await logIn(shopper, { ...solved, captchaId: 'x'.repeat(22) }))[1]).toBe('captcha-expired')
    const wrong = await solveCaptcha()
    expect(codeOf(await logIn(shopper, { ...wrong, answer: `${wrong.answer}x` }))).toEqual([
      422,
      'captcha-incorrect',
    ])
    expect(codeOf(await logIn(shopper, wrong))[1]).toBe('captcha-expired')
    const both = await Promise.all([logIn(shopper, solved), logIn(shopper, solved)])
    expect(both.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b)).toEqual([200, 422])
  })

  it('takes no check that was solved at another address, by another browser or for a sale', async () => {
    const shopper = await newShopper(api)
    const device = deviceOf(await logIn(await newShopper(api)))
    await exhaust(shopper)
    const elsewhere = await solveCaptcha({ 'x-forwarded-for': '203.0.113.40' })
    expect(codeOf(await logIn(shopper, elsewhere))[1]).toBe('captcha-incorrect')
    const otherBrowser = await solveCaptcha({ cookie: device })
    expect(codeOf(await logIn(shopper, otherBrowser))[1]).toBe('captcha-incorrect')

    const buyer = await newShopper(api)
    const url = `/api/v1/sales/${await addSale(api.stores)}`
    const { captchaId } = (await buyer.call({ method: 'POST', url: `${url}/captchas` })).json<{
      captchaId: string
    }>()
    const ofSale = { captchaId, answer: await readCaptcha(api.stores, captchaId) }
    expect(codeOf(await logIn(shopper, ofSale))[1]).toBe('captcha-incorrect')
    const forLogin = await solveCaptcha({ 'x-forwarded-for': buyer.address })
    const token = await buyer.call({ method: 'POST', url: `${url}/purchase-tokens`, payload: forLogin })
    expect(codeOf(token)).toEqual([422, 'captcha-incorrect'])
    // One IPv6 sender has a whole /64 of addresses.
    const near = await solveCaptcha({ 'x-forwarded-for': '2001:db8:5::1' })
    expect((await logIn(shopper, near, { 'x-forwarded-for': '2001:db8:5::2' })).statusCode).toBe(200)
  })

  it('makes no key for a visitor but the challenge itself', async () => {
    const keysBefore = new Set(await api.stores.redis.keys('*'))
    const address = '203.0.113.77'
    for (let times = 0; times < 3; times += 1)
      await post('/auth/captchas', undefined, { 'x-forwarded-for': address })
    const added = (await api.stores.redis.keys('*')).filter((key) => !keysBefore.has(key))
    const others = added.filter((key) => !/:captcha:[\w-]{22}$/.test(key))
    expect(added).toHaveLength(3 + others.length)
    // The bucket of the address, which every call here counts in.
    expect(others).toEqual([expect.stringMatching(/:limit:auth-address:203\.0\.113\.77$/)])
  })

  it('is asked for by the form without a script, which shows a new picture after every wrong answer', async () => {
    const shopper = await newShopper(api)
    await exhaust(shopper)
    const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html' }
    const send = async (fields: Record<string, string> = {}) => {
      const { formToken, cookie } = await openForm(api)
      return api.app.inject({
        method: 'POST',
        url: '/login',
        headers: { ...headers, cookie },
        payload: new URLSearchParams({
          formToken,
          phone: shopper.phone,
          password: shopper.password,
          ...fields,
        }).toString(),
      })
    }
    const captchaOf = (page: LightMyRequestResponse): string => {
      expect(page.body).toMatch(/<img class="check-picture" src="data:image\/png;base64,/)
      expect(page.body).not.toContain(shopper.password)
      return /name="captchaId" value="([\w-]{22})"/.exec(page.body)?.[1] ?? ''
    }
    const asked = await send()
    expect([asked.statusCode, asked.headers['cache-control']]).toEqual([401, 'no-store'])
    const first = captchaOf(asked)
    const wrong = await send({ captchaId: first, answer: 'WRONG' })
    expect(wrong.statusCode).toBe(422)
    const second = captchaOf(wrong)
    expect(second).not.toBe(first)
    const done = await send({ captchaId: second, answer: await readCaptcha(api.stores, second) })
    expect([done.statusCode, done.headers.location]).toEqual([303, '/'])
  })

  it('answers alike for an account that does not exist', async () => {
    const known = await newShopper(api)
    const nobody = { phone: newPhone(), password: 'a wrong guess' }
    await exhaust(known)
    await exhaust(nobody)
    const bodies = [await logIn({ ...known, password: 'a wrong guess' }), await logIn(nobody)].map(
      (answer) => {
        const { requestId: _own, ...body } = answer.json<{ requestId: string }>()
        return body
      },
    )
    expect(bodies[0]).toEqual(bodies[1])
    expect(bodies[0]).toMatchObject({ code: 'captcha-required' })
  })

  it('locks nobody out of a browser that has logged in there before', async () => {
    const shopper = await newShopper(api)
    const device = deviceOf(await logIn(shopper))
    await exhaust(shopper)
    expect(codeOf(await logIn(shopper))).toEqual([401, 'captcha-required'])
    expect((await logIn(shopper, {}, { cookie: device })).statusCode).toBe(200)

    // It is a bucket like any other, of that browser at that account alone.
    for (let times = 0; times < 3; times += 1)
      expect(codeOf(await logIn({ ...shopper, password: 'a wrong guess' }, {}, { cookie: device }))[0]).toBe(
        401,
      )
    expect(codeOf(await logIn(shopper, {}, { cookie: device }))[1]).toBe('captcha-required')
    const stranger = await newShopper(api)
    await exhaust(stranger)
    expect(codeOf(await logIn(stranger, {}, { cookie: device }))[1]).toBe('captcha-required')
  })

  it.each([
    ['another signature', (device: string) => `${device.slice(0, -2)}xx`],
    [
      'a session cookie in its place',
      (_device: string, session: string) => session.replace('blitz=', 'blitz-device='),
    ],
    ['nothing', () => 'blitz-device='],
  ])('knows no browser by a device cookie with %s', async (_what, forge) => {
    const shopper = await newShopper(api)
    const device = deviceOf(await logIn(shopper))
    await exhaust(shopper)
    expect(codeOf(await logIn(shopper, {}, { cookie: forge(device, shopper.cookie) }))[1]).toBe(
      'captcha-required',
    )
  })

  it('is no session: a device cookie in place of the session is nobody', async () => {
    const shopper = await newShopper(api)
    const device = deviceOf(await logIn(shopper))
    expect((await me(device.replace('blitz-device=', 'blitz='))).statusCode).toBe(401)
  })

  it('from one address meets the bucket of the address, whatever the account', async () => {
    const headers = { remoteAddress: '203.0.113.9' }
    const tries = createLoginTries(api.stores.redis, {
      perAccount: 3,
      perAddress: 1_000,
      refillMs: 90_000_000,
    })
    await Promise.all(
      Array.from({ length: 1_000 }, () => tries.take({ of: 'address', address: '203.0.113.9' })),
    )
    const shopper = await newShopper(api)
    const answer = await api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      payload: { phone: shopper.phone, password: shopper.password },
      ...headers,
    })
    expect(codeOf(answer)).toEqual([401, 'captcha-required'])
    expect((await logIn(shopper)).statusCode).toBe(200)
  })
})

describe('a storm of logins', () => {
  it('meets a bounded line: beyond it 503 with Retry-After, alike for known and unknown numbers', async () => {
    const shopper = await newShopper(api)
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, at) =>
        logIn({ phone: at % 2 === 0 ? shopper.phone : newPhone(), password: 'a wrong guess' }),
      ),
    )
    const busy = answers.filter((answer) => codeOf(answer)[1] === 'overloaded')
    expect(busy.length).toBeGreaterThan(100)
    expect(busy[0]!.statusCode).toBe(503)
    expect(Number(busy[0]!.headers['retry-after'])).toBeGreaterThan(0)
    expect((await logIn({ phone: newPhone(), password: 'x' })).statusCode).toBe(401)
  }, 30_000)
})

describe('a password of a new account', () => {
  it.each(['password1', '1234567890', 'qwertyuiop', '🦊'.repeat(7), 'x'.repeat(129), 'abcdefg\0h'])(
    'that is common or cannot be, %s, is refused',
    async (password) => {
      expect(codeOf(await post('/auth/register', { phone: newPhone(), password }))).toEqual([
        422,
        'password-weak',
      ])
    },
  )

  it.each(['🦊'.repeat(128), '각'.normalize('NFD').repeat(128)])(
    'of 128 characters logs in: %#',
    async (password) => {
      const phone = newPhone()
      expect((await post('/auth/register', { phone, password })).statusCode).toBe(201)
      expect((await logIn({ phone, password })).statusCode).toBe(200)
      expect((await logIn({ phone, password: password.normalize('NFC') })).statusCode).toBe(200)
    },
  )
})
