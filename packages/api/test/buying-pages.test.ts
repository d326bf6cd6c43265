import type { RowDataPacket } from 'mysql2'
import { describe, expect, it } from 'vitest'

import { addWarmSale, unitsLeft } from '../../core/test/own-stores.ts'
import { en } from '../src/messages/en.ts'
import { as, headingOf, textOf, useBrowser } from './browse-pages.ts'
import {
  actInSandbox,
  PUBLIC_ORIGIN,
  cookieOf,
  letMinutePass,
  newPhone,
  newShopper,
  passGate,
  useOwnApi,
} from './own-api.ts'
import { placeQueued as placeQueuedOf } from './place-queued.ts'

const api = useOwnApi({ LIMIT_CHALLENGE_USER: '1000/60' })
const { open, post, buyByForm } = useBrowser(api)
const placeQueued = (saleId: number) => placeQueuedOf(api.stores, saleId)
const HOUR_MS = 3_600_000
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
