import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { addSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { useProcesses, type PackageName, type RunningProcess } from './running-blitzbuy.ts'
import { buy, makeShoppers, passGates, readOrder, type Shopper } from './shoppers.ts'

const NAMES: PackageName[] = ['api', 'order-worker', 'stock-warmer']
const PURCHASE = 'POST /api/v1/sales/:saleId/orders'

interface Span {
  service: string
  name: string
  traceId: string
  spanId: string
  parentSpanId: string | undefined
  links: string[]
  attributes: Record<string, unknown>
}

const stores = useOwnStores()
// Node prints the name of each module that it loads.
const processes = useProcesses(stores, { NODE_DEBUG: 'esm,module' })
const traced = {} as Record<PackageName, RunningProcess>
const untraced = {} as Record<PackageName, RunningProcess>
const collector = startCollector()
let shoppers: Shopper[]
let saleId: number

beforeAll(async () => {
  const origin = await collector.origin()
  await Promise.all(NAMES.map(async (name) => void (untraced[name] = await processes.start(name))))
  // What they would buy and place would leave no trace.
  await Promise.all(NAMES.map((name) => untraced[name].kill('SIGTERM')))
  await Promise.all(
    NAMES.map(async (name) => {
      traced[name] = await processes.startReady(name, { OTEL_EXPORTER_OTLP_ENDPOINT: origin })
    }),
  )
  saleId = await addSale(stores, { quota: 100 })
  await vi.waitFor(
    async () => expect(await stores.redis.hget(`{sale:${saleId}}:stock`, 'state')).toBe('open'),
    { timeout: 30_000 },
  )
  shoppers = await makeShoppers(stores, 12, () => traced.api.origin)
  await passGates(stores, shoppers, saleId, () => traced.api.origin)
}, 120_000)
afterAll(() => collector.close())

it.each(NAMES)('%s loads nothing that makes or sends traces without a collector', (name) => {
  const loaded = (one: RunningProcess) =>
    new Set(
      [...one.output().matchAll(/node_modules\/(@opentelemetry\/[\w-]+)\//g)].map(([, module]) => module),
    )
  // prom-client has this one loaded in any case: types, and functions that do nothing.
  expect([...loaded(untraced[name])]).toEqual(['@opentelemetry/api'])
  expect([...loaded(traced[name])]).toEqual(
    expect.arrayContaining(['@opentelemetry/sdk-trace', '@opentelemetry/exporter-trace-otlp-http']),
  )
})

describe('one purchase', () => {
  const traceOfSomebodyElse = 'a'.repeat(32)
  let requestId: string
  let trace: Span[]

  beforeAll(async () => {
    const [buyer] = shoppers as [Shopper]
    const answer = await fetch(
      `${traced.api.origin}/api/v1/sales/${saleId}/orders?note=written-by-a-client`,
      {
        method: 'POST',
        headers: {
          cookie: buyer.cookie,
          'x-forwarded-for': buyer.address,
          'x-purchase-token': buyer.tokens.get(saleId) ?? '',
          'user-agent': 'written-by-a-client',
          traceparent: `00-${traceOfSomebodyElse}-${'b'.repeat(16)}-01`,
        },
      },
    )
    expect(answer.status).toBe(202)
    requestId = answer.headers.get('x-request-id') ?? 'none'
    trace = await vi.waitFor(
      () => {
        const found = traceOf(requestId)
        expect(found.map(({ name }) => name)).toContain('settle')
        expect(found.map(({ name }) => name)).toContain(PURCHASE)
        return found
      },
      { timeout: 30_000 },
    )
  }, 60_000)

  it('is one trace from the request over the message to the order', () => {
    const named = (name: string) => trace.find((span) => span.name === name) as Span
    const request = named(PURCHASE)
    expect(request).toMatchObject({
      service: 'api',
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/api/v1/sales/:saleId/orders',
        'http.response.status_code': 202,
        'blitzbuy.request_id': requestId,
      },
    })
    const batch = { 'blitzbuy.sale_id': saleId, 'blitzbuy.reservations': 1 }
    const below = (parent: Span, service: string) => ({ service, parentSpanId: parent.spanId })
    expect(named('reserve')).toMatchObject({ ...below(request, 'api'), attributes: batch })
    const published = named('publish reservations.made')
    expect(published).toMatchObject({
      ...below(request, 'api'),
      attributes: { ...batch, 'blitzbuy.handoff': 'confirmed' },
    })
    const processed = named('process reservations.made')
    expect(processed).toMatchObject(below(published, 'order-worker'))
    expect(named('place')).toMatchObject({ ...below(processed, 'order-worker'), attributes: batch })
    expect(named('settle')).toMatchObject({ ...below(processed, 'order-worker'), attributes: batch })
    expect(trace).toHaveLength(6)
  })

  it('begins a trace of its own, whatever the client says, and a trace says nothing that a client wrote', () => {
    const [buyer] = shoppers as [Shopper]
    const sent = collector.received()
    expect(sent).not.toContain(traceOfSomebodyElse)
    expect(sent).not.toContain('written-by-a-client')
    for (const secret of [buyer.cookie.split('=')[1], buyer.tokens.get(saleId), buyer.address, '+86139'])
      expect(sent).not.toContain(secret)
    expect(sent).toContain('POST /api/v1/auth/login')
    expect(new Set(spans().flatMap(({ attributes }) => Object.keys(attributes)))).toEqual(
      new Set([
        'http.request.method',
        'http.route',
        'http.response.status_code',
        'blitzbuy.request_id',
        'blitzbuy.sale_id',
        'blitzbuy.reservations',
        'blitzbuy.handoff',
        'messaging.batch.message_count',
      ]),
    )
  })
})

it('purchases of one batch lead to it, and it leads to each of them', async () => {
  const batch = await vi.waitFor(
    async () => {
      await Promise.all(shoppers.map((shopper) => buy(shopper, traced.api.origin, saleId)))
      const found = spans().find(({ name, links }) => name === 'reserve' && links.length > 0)
      expect(found).toBeDefined()
      return found as Span
    },
    { timeout: 60_000, interval: 1_000 },
  )
  expect(batch.links).toHaveLength(Number(batch.attributes['blitzbuy.reservations']) - 1)
  await vi.waitFor(
    () => {
      for (const spanId of batch.links) {
        const purchase = spans().find((span) => span.spanId === spanId)
        expect(purchase).toMatchObject({ name: PURCHASE })
        expect(purchase?.links).toContain(batch.spanId)
      }
    },
    { timeout: 30_000 },
  )
}, 120_000)

describe('a collector that takes requests and never answers', () => {
  it('holds up no purchase, and no end of a process', async () => {
    collector.fallSilent()
    const sale = await addSale(stores, { quota: 1 })
    await vi.waitFor(
      async () => expect(await stores.redis.hget(`{sale:${sale}}:stock`, 'state')).toBe('open'),
      { timeout: 30_000 },
    )
    const [buyer] = shoppers as [Shopper]
    await passGates(stores, [buyer], sale, () => traced.api.origin)
    await vi.waitFor(() => expect(collector.unansweredCount()).toBeGreaterThan(0), { timeout: 30_000 })
    const bought = await buy(buyer, traced.api.origin, sale)
    expect(bought.status).toBe(202)
    const state = async () => (await readOrder(buyer, traced.api.origin, bought.orderId ?? '')).state
    await expect.poll(state, { timeout: 30_000 }).toBe('awaiting_payment')
    await vi.waitFor(() => expect(traced.api.output()).toContain('the collector takes no traces'), {
      timeout: 30_000,
    })

    await Promise.all(NAMES.map((name) => traced[name].kill('SIGTERM')))
    for (const name of NAMES) expect(traced[name].exitCode).toBe(0)
  }, 120_000)
})

function spans(): Span[] {
  return collector.bodies.flatMap(spansIn)
}

function traceOf(requestId: string): Span[] {
  const first = spans().find(({ attributes }) => attributes['blitzbuy.request_id'] === requestId)
  return spans().filter(({ traceId }) => traceId === first?.traceId)
}

interface Attribute {
  key: string
  value: { stringValue?: string; intValue?: number | string; doubleValue?: number }
}

/** Of a request as OTLP writes it in JSON. */
function spansIn(body: string): Span[] {
  type OtlpSpan = Omit<Span, 'links' | 'attributes'> & {
    links?: { spanId: string }[]
    attributes: Attribute[]
  }
  const { resourceSpans } = JSON.parse(body) as {
    resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: OtlpSpan[] }[] }[]
  }
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans
      .flatMap((scope) => scope.spans)
      .map(({ name, traceId, spanId, parentSpanId, links = [], attributes }) => ({
        service: String(valuesOf(resource.attributes)['service.name']),
        name,
        traceId,
        spanId,
        parentSpanId,
        links: links.map((link) => link.spanId),
        attributes: valuesOf(attributes),
      })),
  )
}

function valuesOf(attributes: Attribute[]): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? value.doubleValue ?? Number(value.intValue),
    ]),
  )
}

/** Takes what is sent to /v1/traces, until it falls silent. */
function startCollector() {
  const bodies: string[] = []
  let isSilent = false
  let unansweredCount = 0
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request)
    if (isSilent) {
      unansweredCount += 1
      return
    }
    expect(request.url).toBe('/v1/traces')
    bodies.push(body)
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  }
  const server: Server = createServer((request, response) => void take(request, response))
  const listening = once(server.listen(0, '127.0.0.1'), 'listening')

  return {
    bodies,
    received: () => bodies.join('\n'),
    unansweredCount: () => unansweredCount,
    fallSilent: () => void (isSilent = true),
    async origin() {
      await listening
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    },
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
