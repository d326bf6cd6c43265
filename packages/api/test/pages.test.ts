import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import type { LightMyRequestResponse } from 'fastify'
import type { RowDataPacket } from 'mysql2'
import { describe, expect, it, vi } from 'vitest'

import { readCaptcha } from '../../../test/pass-gate.ts'
import { addSale, addWarmSale, unitsLeft } from '../../core/test/own-stores.ts'
import { en } from '../src/messages/en.ts'
import {
  actInSandbox,
  PUBLIC_ORIGIN,
  cookieOf,
  letMinutePass,
  newPhone,
  newShopper,
  openForm,
  passGate,
  useOwnApi,
  type Shopper,
} from './own-api.ts'
import { placeQueued as placeQueuedOf } from './place-queued.ts'

const api = useOwnApi({ LIMIT_CHALLENGE_USER: '1000/60' })
const placeQueued = (saleId: number) => placeQueuedOf(api.stores, saleId)
const HOUR_MS = 3_600_000
const HTML = { accept: 'text/html,application/xhtml+xml' }

const open = (url: string, headers: object = {}) => api.app.inject({ url, headers: { ...HTML, ...headers } })
const post = async (
  url: string,
  fields: Record<string, string> = {},
  headers: { cookie?: string; origin?: string } = {},
) => {
  const { formToken, cookie } = await openForm(api, headers.cookie)
  return api.app.inject({
    method: 'POST',
    url,
    payload: new URLSearchParams({ formToken, ...fields }).toString(),
    headers: {
      ...HTML,
      'content-type': 'application/x-www-form-urlencoded',
      origin: PUBLIC_ORIGIN,
      'sec-fetch-site': 'same-origin',
      ...headers,
      cookie,
    },
  })
}

/** Passes the human check by its form, as long as there is one, and presses Buy. */
async function buyByForm(
  shopper: Pick<Shopper, 'cookie'>,
  saleId: number,
  fields: Record<string, string> = {},
) {
  const check = await open(`/sales/${saleId}/check`, as(shopper))
  let { cookie } = shopper
  if (check.statusCode === 200) {
    const answered = await post(`/sales/${saleId}/check`, await solvedForm(check), as(shopper))
    cookie += `; ${cookieOf(answered)}`
  }
  return post(`/sales/${saleId}/buy`, fields, { cookie })
}
async function solvedForm(check: LightMyRequestResponse): Promise<Record<string, string>> {
  const captchaId = /name="captchaId" value="([^"]+)"/.exec(check.body)?.[1] ?? ''
  return { captchaId, answer: await readCaptcha(api.stores, captchaId) }
}
const as = ({ cookie }: Pick<Shopper, 'cookie'>) => ({ cookie })

describe('a shopper without JavaScript', () => {
  it('registers, buys and pays by forms alone', async () => {
    const saleId = await addWarmSale(api.stores)

    const refused = await post(`/sales/${saleId}/buy`)
    expect([refused.statusCode, refused.headers.location]).toEqual([303, `/login?next=%2Fsales%2F${saleId}`])

    const registered = await post('/register', {
      phone: newPhone(),
      region: 'CN',
      nickname: 'Ada',
      password: 'correct horse',
      next: `/sales/${saleId}`,
    })
    expect([registered.statusCode, registered.headers.location]).toEqual([303, `/sales/${saleId}`])
    const shopper = { cookie: cookieOf(registered) }
    const sale = await open(`/sales/${saleId}`, as(shopper))
    expect(sale.body).toContain(`action="/sales/${saleId}/buy"`)
    expect(sale.body).toContain('Logged in as Ada')

    const unchecked = await post(`/sales/${saleId}/buy`, {}, as(shopper))
    expect([unchecked.statusCode, unchecked.headers.location]).toEqual([303, `/sales/${saleId}/check`])
    const bought = await buyByForm(shopper, saleId)
    expect(bought.statusCode).toBe(303)
    const orderUrl = String(bought.headers.location)
    expect(orderUrl).toMatch(/^\/orders\/[0-9A-Z]{26}$/)

    const queued = await open(orderUrl, as(shopper))
    expect(queued.headers['refresh']).toBe('3')
    expect(queued.body).toContain(`href="${orderUrl}">Check now`)

    await placeQueued(saleId)
    const placed = await open(orderUrl, as(shopper))
    expect(placed.headers['refresh']).toBeUndefined()
    expect(placed.body).toContain('Pay $49.00 now')

    const begun = await post(`${orderUrl}/pay`, {}, as(shopper))
    expect([begun.statusCode, begun.headers.location]).toEqual([
      303,
      expect.stringContaining('/sandbox-payments/'),
    ])
    const page = await open(new URL(String(begun.headers.location)).pathname)
    expect(page.body).toContain('A sandbox, no money moves')
    const paid = await actInSandbox(api, String(begun.headers.location))
    expect([paid.statusCode, paid.headers.location]).toEqual([303, `${PUBLIC_ORIGIN}${orderUrl}`])
    const receipt = await open(orderUrl, as(shopper))
    expect(headingOf(receipt)).toBe('Paid. Thank you!')
    expect((await open('/orders', as(shopper))).body).toContain('chip-paid')

    const left = await post('/logout', {}, as(shopper))
    expect([left.statusCode, left.headers.location]).toEqual([303, '/'])
    expect((await open('/orders', as(shopper))).headers.location).toBe('/login?next=%2Forders')
  })

  it('who presses twice, or pays twice, lands on the same order', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const first = await buyByForm(shopper, saleId)
    const second = await buyByForm(shopper, saleId)
    expect(second.headers.location).toBe(first.headers.location)
    await placeQueued(saleId)
    const third = await buyByForm(shopper, saleId)
    expect(third.headers.location).toBe(first.headers.location)

    const pay = () => post(`${String(first.headers.location)}/pay`, {}, as(shopper))
    const begun = await pay()
    expect((await pay()).headers.location).toBe(begun.headers.location)
    for (let times = 0; times < 2; times += 1) await actInSandbox(api, String(begun.headers.location))
    expect((await pay()).headers.location).toBe(first.headers.location)
    const [payments] = await api.stores.mysql.use(({ connection }) =>
      connection.query<RowDataPacket[]>(
        'SELECT payments.id FROM payments JOIN orders ON orders.id = order_id WHERE sale_id = ?',
        [saleId],
      ),
    )
    expect(payments).toHaveLength(1)
  })

  it('finds the last unit behind a sold-out flag', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 1 })
    const shopper = await newShopper(api)
    api.core.flags.raise(saleId, 1, Number.MAX_SAFE_INTEGER)
    expect(api.core.flags.isRaised(saleId)).toBe(true)
    const bought = await buyByForm(shopper, saleId)
    expect(bought.headers.location).toMatch(/^\/orders\//)
  })

  it('buys as many units as chosen', async () => {
    const saleId = await addWarmSale(api.stores, { unitsPerUser: 3 })
    const shopper = await newShopper(api)
    expect((await open(`/sales/${saleId}`, as(shopper))).body).toMatch(/<option>3<\/option>/)
    await buyByForm(shopper, saleId, { quantity: '3' })
    expect(await unitsLeft(api.stores, saleId)).toBe(7)
  })
})

describe('a refused purchase', () => {
  it.each([
    ['sold out', { quota: 0 }, 'notice=sold-out', en['refusal.sold-out']],
    [
      'not open yet',
      { opensAt: new Date(Date.now() + HOUR_MS) },
      'notice=sale-not-open',
      en['refusal.sale-not-open'],
    ],
    [
      'over',
      { opensAt: new Date(Date.now() - 2 * HOUR_MS), closesAt: new Date(Date.now() - HOUR_MS) },
      'notice=sale-closed',
      en['refusal.sale-closed'],
    ],
  ])('of a sale that is %s leads back to the sale, which says why', async (_why, changes, notice, words) => {
    const saleId = await addWarmSale(api.stores, changes)
    const shopper = await newShopper(api)
    const refused = await buyByForm(shopper, saleId)
    expect([refused.statusCode, refused.headers.location]).toEqual([303, `/sales/${saleId}?${notice}`])
    const page = await open(String(refused.headers.location), as(shopper))
    expect(textOf(page)).toContain(words)
  })

  it('for more units than are left, or than one may have, names the number', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 3, unitsPerUser: 5 })
    const shopper = await newShopper(api)
    const tooFew = await buyByForm(shopper, saleId, { quantity: '4' })
    expect(tooFew.headers.location).toBe(`/sales/${saleId}?notice=too-few-left&units=3`)
    expect(textOf(await open(String(tooFew.headers.location)))).toContain('Only 3 left.')
    const tooMany = await buyByForm(shopper, saleId, { quantity: '6' })
    expect(textOf(await open(String(tooMany.headers.location)))).toContain('at most 5')
    const junk = await buyByForm(shopper, saleId, { quantity: '1e3' })
    expect([junk.statusCode, junk.headers['content-type']]).toEqual([400, 'text/html; charset=utf-8'])
  })

  it('with an unknown outcome waits until the order is found', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const confirming = `/sales/${saleId}/confirming?since=${api.core.clock.nowMs()}`
    const waiting = await open(confirming, as(shopper))
    expect(waiting.headers['refresh']).toBe('3')
    expect(textOf(waiting)).toContain(en['confirming.text'])

    const bought = await buyByForm(shopper, saleId)
    expect((await open(confirming, as(shopper))).headers.location).toBe(bought.headers.location)
  })

  it('with an unknown outcome says that nothing was taken only when nothing can be taken any more', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const since = api.core.clock.nowMs() - 60_000
    const decided = await open(`/sales/${saleId}/confirming?since=${since}`, as(shopper))
    expect(decided.headers.location).toBe(`/sales/${saleId}?notice=not-taken`)
  })

  it('shows no words of whoever made up the address', async () => {
    const saleId = await addWarmSale(api.stores)
    for (const query of [
      'notice=<script>',
      'notice=toString',
      'notice=too-few-left&units=<b>',
      'notice=a&notice=b',
    ]) {
      expect((await open(`/sales/${saleId}?${query}`)).body).not.toContain('data-notice')
    }
  })
})

describe('the Buy button', () => {
  it.each([
    ['not open yet', { opensAt: new Date(Date.now() + HOUR_MS) }, 'not_started'],
    ['sold out', { quota: 0 }, 'sold_out'],
    [
      'over',
      { opensAt: new Date(Date.now() - 2 * HOUR_MS), closesAt: new Date(Date.now() - HOUR_MS) },
      'ended',
    ],
  ] as const)('of a sale that is %s is there, and says why it does nothing', async (_why, changes, state) => {
    const saleId = await addWarmSale(api.stores, changes)
    const page = await open(`/sales/${saleId}`)
    expect(page.body).toMatch(/<button class="buy-button"[^>]*aria-describedby="reason" aria-disabled="true"/)
    expect(page.body).toContain(`data-state="${state}"`)
    expect(page.body).toMatch(/<p id="reason"[^>]*>[^<]{10,}<\/p>/)
  })

  it('of an open sale leads a stranger to the login, and a shopper to an order', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    expect((await open(`/sales/${saleId}`)).body).toContain('data-state="login_required"')
    const own = await open(`/sales/${saleId}`, as(shopper))
    expect(own.body).toContain('data-state="open_needs_check"')
    expect(own.body).toContain('>Verify and buy</button>')
    await passGate(api, shopper, saleId)
    const checked = await open(`/sales/${saleId}`, as(shopper))
    expect(checked.body).toContain('data-state="open_ready"')
    expect(checked.body).toMatch(
      /<button class="buy-button" type="submit" aria-describedby="reason" data-control>/,
    )
  })

  it('of a sale with an own order leads to that order', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const { location } = (await buyByForm(shopper, saleId)).headers
    const states = []
    for (const settle of [
      async () => {},
      placeQueued,
      async () => {
        const begun = await post(`${String(location)}/pay`, {}, as(shopper))
        await actInSandbox(api, String(begun.headers.location))
      },
    ]) {
      await settle(saleId)
      const page = await open(`/sales/${saleId}`, as(shopper))
      expect(page.body).toContain(`href="${String(location)}"`)
      states.push(/data-state="(\w+)"/.exec(page.body)?.[1])
    }
    expect(states).toEqual(['queued', 'won', 'already_bought'])
  })
})

describe('a login form', () => {
  it('that failed keeps what was typed, but never the password', async () => {
    const phone = newPhone()
    const page = await post('/login', {
      phone,
      region: 'CN',
      password: 'a secret nobody sees',
      next: '/orders',
    })
    expect(page.statusCode).toBe(401)
    expect(page.body).toContain(`value="${phone}"`)
    expect(page.body).toContain('value="CN" selected')
    expect(page.body).toContain('name="next" value="/orders"')
    expect(page.body).not.toContain('a secret nobody sees')
  })

  it('that failed says so in its title and leads to the field', async () => {
    const page = await post('/login', { phone: '', password: '' })
    expect(page.statusCode).toBe(422)
    expect(page.body).toMatch(/<title>Error: Log in/)
    expect(page.body).toMatch(/role="alert"[\s\S]*href="#phone"[\s\S]*href="#password"/)
    expect(page.body).toMatch(/id="phone"[^>]*aria-invalid="true"/)
    expect(page.body).toMatch(/id="phone"[^>]*aria-describedby="phone-hint phone-error"/)
  })

  it('gives the same answer for an unknown phone as for a wrong password', async () => {
    const { phone } = await newShopper(api)
    const known = await post('/login', { phone, password: 'not this one' })
    const unknown = await post('/login', { phone: newPhone(), password: 'not this one' })
    expect(known.statusCode).toBe(401)
    expect(textOf(known)).toBe(textOf(unknown))
  })

  it('logs in, whatever the spelling of the number', async () => {
    const shopper = await newShopper(api)
    const spelled = `0086 ${shopper.phone.slice(3, 6)}-${shopper.phone.slice(6)}`
    const done = await post('/login', { phone: spelled, password: shopper.password, next: '/orders' })
    expect([done.statusCode, done.headers.location]).toEqual([303, '/orders'])
    expect((await open('/login?next=/orders', { cookie: cookieOf(done) })).headers.location).toBe('/orders')
  })

  it.each([
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    '/\t/evil.example',
    '/orders/../../evil',
    '/sales/1?x=//evil.example',
    'javascript:alert(1)',
    '/sales/1\r\nset-cookie: a=b',
    '/logout',
    '/orders\\@evil.example',
    '/orders@evil.example',
    '/orders//evil.example',
    '/orders#//evil.example',
    '/orders/\n//evil.example',
    '/orders\u0000',
    '/orders\n',
    ' /orders',
    '/%2f%2fevil.example',
    '/%5cevil.example',
    '\\\\evil.example',
    '///evil.example',
    'https:/orders',
    'data:text/html,x',
    '/／evil.example',
    '/sales/1/../../login',
    '/sales/01',
    '/sales/1/confirming',
    `/orders/${'A'.repeat(27)}`,
  ])('never leads to another site or another path: next=%s', async (next) => {
    const shopper = await newShopper(api)
    const page = await open(`/login?next=${encodeURIComponent(next)}`)
    expect(page.body).toContain('name="next" value="/"')
    const done = await post('/login', { phone: shopper.phone, password: shopper.password, next })
    expect([done.statusCode, done.headers.location]).toEqual([303, '/'])
  })
})

describe('a registration form', () => {
  it.each([
    ['the number has an account', 409, {}, 'refusal.phone-taken'],
    ['the number is none', 422, { phone: '12345' }, 'refusal.phone-invalid'],
    ['the password is short', 422, { phone: 'new', password: 'short' }, 'refusal.password-weak'],
    ['the name is long', 422, { nickname: 'n'.repeat(41) }, 'form.nickname-long'],
  ] as const)('is shown again when %s', async (_why, status, changes, key) => {
    const { phone } = await newShopper(api)
    const fields = { phone, password: 'correct horse', nickname: '', ...changes }
    if (fields.phone === 'new') fields.phone = newPhone()
    const page = await post('/register', fields)
    expect(page.statusCode).toBe(status)
    expect(textOf(page)).toContain(en[key])
    expect(page.cookies).toEqual([])
  })

  it('never shows markup that somebody typed as markup', async () => {
    const typed = '"><img src=x onerror=alert(1)>'
    const page = await post('/register', { phone: typed, password: 'x', nickname: typed, next: typed })
    expect(page.body).not.toContain('<img src=x')
  })

  it('that comes from another site is refused with a page', async () => {
    const page = await post(
      '/register',
      { phone: newPhone(), password: 'correct horse' },
      { origin: 'https://evil.example' },
    )
    expect([page.statusCode, page.headers['content-type']]).toEqual([403, 'text/html; charset=utf-8'])
    expect(textOf(page)).toContain(en['refusal.cross-site'])
  })
})

describe('an order page', () => {
  it("of somebody else's order is not there", async () => {
    const saleId = await addWarmSale(api.stores)
    const [owner, other] = [await newShopper(api), await newShopper(api)]
    const { location } = (await buyByForm(owner, saleId)).headers
    const page = await open(String(location), as(other))
    expect(page.statusCode).toBe(404)
    expect((await post(`${String(location)}/pay`, {}, as(other))).statusCode).toBe(404)
  })

  it('leads a logged-out shopper through the login and back', async () => {
    const saleId = await addWarmSale(api.stores)
    const { location } = (await buyByForm(await newShopper(api), saleId)).headers
    const page = await open(String(location))
    expect(page.headers.location).toBe(`/login?next=${encodeURIComponent(String(location))}`)
  })

  it('says why an order was rejected', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const { location } = (await buyByForm(shopper, saleId)).headers
    await api.stores.mysql.use(({ connection }) =>
      connection.query('UPDATE sales SET quota = 0 WHERE id = ?', [saleId]),
    )
    await placeQueued(saleId)
    const page = await open(String(location), as(shopper))
    expect(textOf(page)).toContain(`${en['order.reason.sold-out']} Nothing was charged.`)
    expect(page.headers['refresh']).toBeUndefined()
  })

  it('that is watched by the script is not reloaded under it', async () => {
    const saleId = await addWarmSale(api.stores)
    const shopper = await newShopper(api)
    const { location } = (await buyByForm(shopper, saleId)).headers
    for (const name of ['__Host-blitz-script', 'blitz-script']) {
      const page = await open(String(location), { cookie: `${shopper.cookie}; ${name}=1` })
      expect(page.headers['refresh']).toBeUndefined()
      expect(page.body).toContain('data-poll-after-ms=')
    }
  })

  it('list goes page by page through all orders', async () => {
    const shopper = await newShopper(api)
    for (let count = 0; count < 21; count += 1) {
      const saleId = await addWarmSale(api.stores)
      await letMinutePass(api.stores, shopper)
      await buyByForm(shopper, saleId)
      await placeQueued(saleId)
    }
    const first = await open('/orders', as(shopper))
    expect(first.body.match(/class="order-card"/g)).toHaveLength(20)
    const next = /href="(\/orders\?cursor=[^"]+)"/.exec(first.body)?.[1]
    const second = await open(String(next), as(shopper))
    expect(second.body.match(/class="order-card"/g)).toHaveLength(1)
    expect(second.body).not.toContain('cursor=')
  })
})

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

describe('the text catalogue', () => {
  const folder = fileURLToPath(new URL('../views', import.meta.url))
  const views = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    // Those of operators are in English alone.
    .filter((name) => name.endsWith('.eta') && !name.startsWith('admin'))
    .map((name) => readFileSync(`${folder}/${name}`, 'utf8'))
    .join('\n')

  it('has every text that a template names, and no template has words of its own', () => {
    const named = [...views.matchAll(/\bt\((?:[^()'`]*\? )?'([\w.-]+)'(?: : '([\w.-]+)')?/g)].flatMap(
      ([, a, b]) => [a, b],
    )
    const missing = named.filter((key) => key !== undefined && !(key in en))
    expect(named.length).toBeGreaterThan(50)
    expect(missing).toEqual([])
    const bare = views.replaceAll(/<%[\s\S]*?%>/g, '').replaceAll(/<[^>]*>/g, '')
    expect(bare.replaceAll(/[\s–←]/g, '')).toBe('')
  })

  it('has every text that the script names', () => {
    const clientFolder = fileURLToPath(new URL('../client', import.meta.url))
    const script = readdirSync(clientFolder)
      .map((name) => readFileSync(`${clientFolder}/${name}`, 'utf8'))
      .join('\n')
    const named = [...script.matchAll(/\btext\((?:\w+ \? )?'([\w-]+)'(?: : '([\w-]+)')?/g)].flatMap(
      ([, ...keys]) => keys.flatMap((key) => (key ? [`client.${key}`] : [])),
    )
    expect(named.length).toBeGreaterThan(15)
    expect(named.filter((key) => !(key in en))).toEqual([])
  })
})

function headingOf({ body }: LightMyRequestResponse): string | undefined {
  return /<h1[^>]*>([^<]*)<\/h1>/.exec(body)?.[1]
}

/** The words of a page, as a person reads them: fields and what is typed in them are no words. */
function textOf({ body }: LightMyRequestResponse): string {
  return body
    .replaceAll(/<[^>]+>/g, ' ')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')
    .replaceAll(/\s+/g, ' ')
}
