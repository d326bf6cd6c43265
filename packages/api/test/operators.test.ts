import { createPublishDeadLetter } from '@blitzbuy/core/rabbitmq/publish'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import type { InjectOptions } from 'fastify'
import type { RowDataPacket } from 'mysql2/promise'
import { beforeAll, describe, expect, it } from 'vitest'

import { useOwnPublisher } from '../../core/test/own-publisher.ts'
import { addWarmSale } from '../../core/test/own-stores.ts'
import { newOperator, postForm, type OperatorAtWork } from './operator-at-work.ts'
import { PUBLIC_ORIGIN, actInSandbox, newShopper, passGate, useOwnApi, type Shopper } from './own-api.ts'
import { placeQueued } from './place-queued.ts'

const api = useOwnApi()
const publisher = useOwnPublisher(api.stores)
let operator: OperatorAtWork
let colleague: OperatorAtWork

beforeAll(async () => {
  ;[operator, colleague] = await Promise.all([newOperator(api), newOperator(api)])
}, 60_000)

interface Entry {
  actorId: number | null
  action: string
  details: Record<string, unknown>
}

/** What the audit log says of a subject, the oldest first. */
async function auditOf(subject: string): Promise<Entry[]> {
  type Row = RowDataPacket & { actorId: number | null; action: string; details: string | object }
  const [rows] = await api.stores.mysql.use(({ connection }) =>
    connection.query<Row[]>(
      'SELECT actor_id AS actorId, action, details FROM audit_log WHERE subject = ? ORDER BY id',
      [subject],
    ),
  )
  return rows.map(({ actorId, action, details }) => ({
    actorId,
    action,
    details: (typeof details === 'string' ? JSON.parse(details) : details) as Record<string, unknown>,
  }))
}

async function saleRow(saleId: number) {
  const sale = await api.stores.sales.find(saleId)
  if (!sale) throw new Error(`there is no sale ${saleId}`)
  return sale
}

const stockOf = async (saleId: number) => (await createReadStocks(api.stores.redis)([saleId]))[0]
const json = (payload: object): InjectOptions => ({ payload })
const codeOf = (answer: { json(): unknown }) => (answer.json() as { code?: string }).code

describe('an operator at work', () => {
  it('makes a product and a sale by forms, and each is in the audit log with who and what', async () => {
    const refused = await operator.submit('/admin/products/new', '/admin/products/new', {
      title: '',
      imagePath: 'https://evil.test/x.png',
    })
    expect(refused.statusCode).toBe(422)
    expect(refused.body).toContain('is required')
    expect(refused.body).toContain('below /assets/')

    const title = `Lamp <b>${Date.now()}</b>`
    const made = await operator.submit('/admin/products/new', '/admin/products/new', {
      title,
      description: 'Bright.',
      imagePath: '/assets/products/desk-lamp.svg',
    })
    expect(made.headers.location).toBe('/admin/products?done=created')
    const list = await operator.page('/admin/products')
    expect(list.body).not.toContain(title)
    const productId = Number(/\/admin\/products\/(\d+)"/.exec(list.body)?.[1])
    expect(await auditOf(`product:${productId}`)).toEqual([
      {
        actorId: operator.userId,
        action: 'product.create',
        details: {
          after: { title, description: 'Bright.', imagePath: '/assets/products/desk-lamp.svg' },
        },
      },
    ])

    const wrong = await operator.submit('/admin/sales/new', '/admin/sales/new', {
      productId: String(productId),
      currency: 'USD',
      price: '49.999',
      quota: 'many',
      opensAt: '2031-01-01T10:00',
      closesAt: '2031-01-01T09:00',
    })
    expect(wrong.statusCode).toBe(422)
    for (const said of ['an amount such as 49.99', 'must be a whole number'])
      expect(wrong.body).toContain(said)
    expect(wrong.body).toContain('value="many"')
    const sale = await operator.submit('/admin/sales/new', '/admin/sales/new', {
      productId: String(productId),
      currency: 'USD',
      price: '49.9',
      listPrice: '',
      quota: '12',
      unitsPerUser: '2',
      tokensPerUnit: '20',
      opensAt: '2031-01-01T10:00',
      closesAt: '2031-01-01T12:30:15',
      paymentWindowSeconds: '600',
    })
    const saleId = Number(/\/admin\/sales\/(\d+)\?done=created/.exec(String(sale.headers.location))?.[1])
    expect(await saleRow(saleId)).toMatchObject({
      priceCents: 4990,
      listPriceCents: 4990,
      quota: 12,
      opensAtMs: Date.UTC(2031, 0, 1, 10),
      closesAtMs: Date.UTC(2031, 0, 1, 12, 30, 15),
    })
    const [entry] = await auditOf(`sale:${saleId}`)
    expect(entry).toMatchObject({ actorId: operator.userId, action: 'sale.create' })
  })

  it('pauses, resumes and restocks a running sale, in Redis at once', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 10 })
    const here = `/admin/sales/${saleId}`
    expect((await operator.submit(here, `${here}/pause`)).headers.location).toBe(`${here}?done=paused`)
    expect(await stockOf(saleId)).toMatchObject({ state: 'paused' })
    expect((await operator.submit(here, `${here}/resume`)).headers.location).toBe(`${here}?done=resumed`)
    expect(await stockOf(saleId)).toMatchObject({ state: 'open' })
    const page = await operator.page(here)
    await postForm(operator, page, `${here}/restock`, { units: '5' })
    expect(await stockOf(saleId)).toMatchObject({ quota: 15, unitsLeft: 15 })

    // The same form again, by a double click: told, and not restocked twice.
    const again = await postForm(operator, page, `${here}/restock`, { units: '5' })
    expect([again.statusCode, again.body.includes('sale.restock')]).toEqual([409, true])
    expect(await stockOf(saleId)).toMatchObject({ quota: 15, unitsLeft: 15 })
    expect((await auditOf(`sale:${saleId}`)).map(({ action }) => action)).toEqual([
      'sale.pause',
      'sale.resume',
      'sale.restock',
    ])
    expect((await auditOf(`sale:${saleId}`)).at(-1)).toMatchObject({
      actorId: operator.userId,
      details: { before: { quota: 10 }, after: { quota: 15 } },
    })
  })

  it('cannot overwrite what a colleague has changed meanwhile: the second one reads it', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 100 })
    const here = `/admin/sales/${saleId}`
    const [mine, theirs] = await Promise.all([
      operator.page(`${here}/change`),
      colleague.page(`${here}/change`),
    ])
    const values = valuesOf(mine.body)
    expect(
      (await postForm(colleague, theirs, `${here}/change`, { ...values, quota: '150' })).headers.location,
    ).toBe(`${here}?done=changed`)

    const second = await postForm(operator, mine, `${here}/change`, {
      ...values,
      paymentWindowSeconds: '600',
    })
    expect(second.statusCode).toBe(409)
    expect(second.body).toContain('Somebody else was faster')
    expect(second.body).toContain('quota: 100 → 150')
    expect(await saleRow(saleId)).toMatchObject({ quota: 150, paymentWindowSeconds: 900 })
    // Sent again as it is now shown, it changes what this operator wanted and nothing else.
    const third = await postForm(operator, second, `${here}/change`, valuesOf(second.body))
    expect(third.headers.location).toBe(`${here}?done=changed`)
    expect(await saleRow(saleId)).toMatchObject({ quota: 150, paymentWindowSeconds: 600 })
  })

  it('types the id of a sale to lower its quota or to close it, and nothing happens without', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 50 })
    const here = `/admin/sales/${saleId}`
    const values = valuesOf((await operator.page(`${here}/change`)).body)
    const lower = (confirm: string) =>
      operator.submit(`${here}/change`, `${here}/change`, { ...values, quota: '40', confirm })
    expect((await lower('')).statusCode).toBe(422)
    expect((await lower(String(saleId + 1))).body).toContain('to lower its quota')
    expect((await saleRow(saleId)).quota).toBe(50)
    expect((await lower(String(saleId))).headers.location).toBe(`${here}?done=changed`)
    expect(await stockOf(saleId)).toMatchObject({ quota: 40, unitsLeft: 40 })

    const close = (confirm: string) => operator.submit(here, `${here}/close`, { confirm })
    expect((await close('')).statusCode).toBe(422)
    expect((await saleRow(saleId)).state).toBe('scheduled')
    expect((await close(String(saleId))).headers.location).toBe(`${here}?done=closed`)
    expect((await saleRow(saleId)).state).toBe('closed')
    const after = await operator.page(here)
    expect(after.body).toContain('The sale is over')
    expect(after.body).not.toContain(`${here}/pause`)
  })

  it('compares before repairing: a hold that nobody knows of is reported, and gone only when asked', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 10 })
    const buyer = await newShopper(api)
    const orderId = await buy(buyer, saleId)
    await placeQueued(api.stores, saleId)
    await api.stores.mysql.use(({ connection }) =>
      connection.query("UPDATE orders SET state = 'cancelled', live = NULL WHERE id = ?", [orderId]),
    )
    const here = `/admin/sales/${saleId}/reconcile`
    const report = await operator.page(here)
    expect(report.body).toContain('1 entry differs. Nothing was changed yet.')
    expect(await api.stores.redis.hlen(stockKeys(saleId).holds)).toBe(1)
    const repaired = await operator.submit(here, here)
    expect(repaired.body).toContain('Repaired: 1 entry.')
    expect(await api.stores.redis.hlen(stockKeys(saleId).holds)).toBe(0)
    expect(await auditOf(`sale:${saleId}`)).toMatchObject([
      { actorId: operator.userId, action: 'sale.reconcile', details: { endedCount: 1 } },
    ])
  })

  it('finds an order by its id and by the buyer’s phone, and reads its whole story', async () => {
    const saleId = await addWarmSale(api.stores)
    const buyer = await newShopper(api)
    const orderId = await buy(buyer, saleId)
    await placeQueued(api.stores, saleId)
    const payment = await buyer.call({ method: 'POST', url: `/api/v1/orders/${orderId}/payments` })
    await actInSandbox(api, payment.json<{ paymentUrl: string }>().paymentUrl)
    await expect
      .poll(async () => (await api.core.orders.find(orderId))?.state, { timeout: 10_000 })
      .toBe('paid')

    const byId = await operator.page(`/admin/orders?find=${orderId.toLowerCase()}`)
    expect(byId.headers.location).toBe(`/admin/orders/${orderId}`)
    const byPhone = await operator.page(`/admin/orders?find=${encodeURIComponent(buyer.phone)}`)
    expect(byPhone.body).toContain(orderId)
    expect((await operator.page('/admin/orders?find=%2B8613900000000')).body).toContain('nobody has this')
    const story = (await operator.page(`/admin/orders/${orderId}`)).body
    for (const said of ['Units reserved', 'Order placed', 'Payment', 'succeeded', 'Paid'])
      expect(story).toContain(said)
    // A whole number is not for the screen of whoever passes by.
    expect(story).not.toContain(buyer.phone)
    expect((await operator.page('/admin/orders/00000000000000000000000000')).statusCode).toBe(404)
  })

  it('puts somebody on the blacklist with a reason and an end, and takes them off', async () => {
    const shopper = await newShopper(api)
    const bad = await operator.submit('/admin/blacklist', '/admin/blacklist', {
      kind: 'address',
      subject: '10.0.0.0/4',
      reason: '',
    })
    expect([bad.statusCode, bad.body.includes('too wide')]).toEqual([422, true])
    await operator.submit('/admin/blacklist', '/admin/blacklist', {
      kind: 'phone',
      subject: shopper.phone,
      reason: 'resells',
      seconds: '3600',
    })
    const subject = `user:${shopper.userId}` as const
    await expect.poll(() => api.core.blacklist.findUser(shopper.userId)).toBeDefined()
    const page = await operator.page(`/admin/blacklist?find=${subject}`)
    expect(page.body).toContain('resells')
    expect(await auditOf(subject)).toMatchObject([
      { actorId: operator.userId, action: 'blacklist.add', details: { reason: 'resells', seconds: 3600 } },
    ])
    const removed = await postForm(operator, page, '/admin/blacklist/remove', {
      subject,
      reason: 'a mistake',
    })
    expect(removed.headers.location).toBe('/admin/blacklist?done=removed')
    await expect.poll(() => api.core.blacklist.findUser(shopper.userId)).toBeUndefined()
    expect((await auditOf(subject)).at(-1)).toMatchObject({ action: 'blacklist.remove' })
  })

  it('looks at dead letters, replays one and drops another, which takes a word', async () => {
    const publish = createPublishDeadLetter(publisher.broker)
    for (const body of ['first', 'second']) {
      await publish(Buffer.from(`{"v":"${body}"}`), {
        cause: 'unreadable',
        detail: 'a test',
        originalMessageId: `m-${body}`,
        diedAtMs: 1_700_000_000_000,
      })
    }
    const list = await operator.page('/admin/dead-letters')
    const ids = [...list.body.matchAll(/\/admin\/dead-letters\/([\w-]+)"/g)].map(([, id]) => id ?? '')
    expect(ids).toHaveLength(2)
    const [one = '', two = ''] = ids
    const here = `/admin/dead-letters/${one}`
    expect((await operator.page(here)).body).toContain('unreadable')
    expect((await operator.submit(here, `${here}/drop`, { confirm: '' })).statusCode).toBe(422)
    expect((await operator.submit(here, `${here}/drop`, { confirm: 'drop' })).headers.location).toBe(
      '/admin/dead-letters?done=dropped',
    )
    const other = `/admin/dead-letters/${two}`
    expect((await operator.submit(other, `${other}/replay`)).headers.location).toBe(
      '/admin/dead-letters?done=replayed',
    )
    expect((await operator.page('/admin/dead-letters')).body).toContain('That is how it should be')
    expect((await operator.page(here)).statusCode).toBe(404)
    expect((await auditOf(`dead-letter:${one}`)).map(({ action }) => action)).toEqual(['dead-letter.drop'])
    expect((await auditOf(`dead-letter:${two}`)).map(({ action }) => action)).toEqual(['dead-letter.replay'])
  })

  it('reads in the audit log what everybody did, by subject and by kind of act', async () => {
    const saleId = await addWarmSale(api.stores)
    const here = `/admin/sales/${saleId}`
    await colleague.submit(here, `${here}/pause`)
    const all = await operator.page(`/admin/audit-log?subject=sale:${saleId}`)
    expect(all.body).toContain('sale.pause')
    expect(all.body).toContain(`#${colleague.userId}`)
    expect(all.body).toContain('state: scheduled → paused')
    expect((await operator.page(`/admin/audit-log?subject=sale:${saleId}&action=blacklist.`)).body).toContain(
      'Nothing yet',
    )
    expect((await operator.page('/admin/audit-log?action=second-factor.')).body).toContain(
      'second-factor.confirm',
    )
  })
})

describe('the JSON of operators', () => {
  const call = (method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string, payload?: object) =>
    operator.call({ method, url: `/api/v1/admin${url}`, ...(payload && json(payload)) })

  it('does all that the pages do, with the same refusals', async () => {
    const product = await call('POST', '/products', {
      title: 'Radio',
      description: '',
      imagePath: '/assets/icon.svg',
    })
    expect(product.statusCode).toBe(201)
    const { productId } = product.json<{ productId: number }>()
    const renamed = { title: 'Wireless', description: '', imagePath: '/assets/icon.svg' }
    expect((await call('PUT', `/products/${productId}`, renamed)).json()).toMatchObject(renamed)
    expect((await call('GET', '/products')).body).toContain('Wireless')
    expect((await call('GET', '/products/4000000000')).statusCode).toBe(404)

    const nowMs = Date.now()
    const draft = { productId, currency: 'CNY', quota: 20, priceCents: 100 }
    const bad = await call('POST', '/sales', { ...draft, opensAtMs: nowMs, closesAtMs: nowMs - 1 })
    expect([bad.statusCode, bad.json()]).toMatchObject([
      422,
      { code: 'change-refused', errors: [{ field: 'closesAtMs' }] },
    ])
    const sale = await call('POST', '/sales', {
      ...draft,
      opensAtMs: nowMs - 1000,
      closesAtMs: nowMs + 3_600_000,
    })
    expect(sale.statusCode).toBe(201)
    const { saleId, revision } = sale.json<{ saleId: number; revision: number }>()
    expect((await call('GET', `/sales/${saleId}`)).json()).toMatchObject({
      quota: 20,
      figures: { quota: 20 },
    })
    expect((await call('GET', '/sales')).body).toContain(`"saleId":${saleId}`)

    const url = `/sales/${saleId}`
    expect((await call('POST', `${url}/pause`, {})).json()).toMatchObject({
      isChanged: true,
      sale: { state: 'paused' },
    })
    expect(codeOf(await call('POST', `${url}/resume`, { revision }))).toBe('changed-meanwhile')
    expect((await call('POST', `${url}/resume`, { revision: revision + 1 })).statusCode).toBe(200)
    expect((await call('POST', `${url}/restock`, { units: 5 })).json()).toMatchObject({ sale: { quota: 25 } })
    expect(codeOf(await call('PATCH', url, { revision: revision + 3, quota: 10 }))).toBe(
      'confirmation-missing',
    )
    const lowered = { revision: revision + 3, quota: 10, confirm: saleId }
    expect((await call('PATCH', url, lowered)).json()).toMatchObject({ isChanged: true, sale: { quota: 10 } })
    expect(codeOf(await call('PATCH', url, { ...lowered, quota: 9 }))).toBe('changed-meanwhile')
    expect(codeOf(await call('PATCH', url, { quota: 9 }))).toBe('request-invalid')
    expect(codeOf(await call('POST', `${url}/reconcile`, { repair: false }))).toBe('sale-warming')
    expect(codeOf(await call('POST', `${url}/close`, { confirm: saleId + 1 }))).toBe('confirmation-missing')
    expect((await call('POST', `${url}/close`, { confirm: saleId })).json()).toMatchObject({
      sale: { state: 'closed' },
    })
    expect(codeOf(await call('POST', `${url}/restock`, { units: 5 }))).toBe('change-refused')

    const entry = { kind: 'user', subject: '1234567', reason: 'a test' }
    expect((await call('POST', '/blacklist', { ...entry, seconds: 60 })).statusCode).toBe(201)
    expect((await call('GET', '/blacklist')).body).toContain('user:1234567')
    expect((await call('DELETE', '/blacklist', entry)).json()).toEqual({ removed: 1 })
    expect((await call('GET', `/orders?saleId=${saleId}`)).json()).toEqual({ orders: [] })
    expect((await call('GET', '/orders/00000000000000000000000000')).statusCode).toBe(404)
    expect((await call('GET', '/dead-letters')).json()).toHaveProperty('deadLetters')
    expect((await call('POST', '/dead-letters/nobody/replay')).statusCode).toBe(404)
    expect((await call('DELETE', '/dead-letters/nobody')).statusCode).toBe(404)
    const { entries } = (await call('GET', `/audit-log?subject=sale:${saleId}`)).json<{
      entries: { action: string; actor: string }[]
    }>()
    expect(entries.map(({ action }) => action)).toEqual([
      'sale.close',
      'sale.change',
      'sale.restock',
      'sale.resume',
      'sale.pause',
      'sale.create',
    ])
    for (const { actor } of entries) expect(actor).toContain(`#${operator.userId}`)
  })
})

async function buy(shopper: Shopper, saleId: number): Promise<string> {
  const purchaseToken = await passGate(api, shopper, saleId)
  const answer = await shopper.call({
    method: 'POST',
    url: `/api/v1/sales/${saleId}/orders`,
    headers: { origin: PUBLIC_ORIGIN, 'x-purchase-token': purchaseToken },
    payload: {},
  })
  if (answer.statusCode !== 202) throw new Error(`not bought: ${answer.statusCode} ${answer.body}`)
  return answer.json<{ orderId: string }>().orderId
}

/** What the visible inputs of a page's form hold. */
function valuesOf(html: string): Record<string, string> {
  return Object.fromEntries(
    [...html.matchAll(/<input id="(\w+)" name="\w+" type="[\w-]+" value="([^"]*)"/g)].map(
      ([, name, value]) => [name, value],
    ),
  )
}
