import type { IncomingHttpHeaders } from 'node:http'
import { request as requestHttps } from 'node:https'
import { connect } from 'node:net'

import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { addSale, unitsLeft, useOwnStores } from '../packages/core/test/own-stores.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { audit, isAtRest } from './audit.ts'
import { buyOnce, countAnswers, makeCrowd, startRush, type Buyer } from './crowd.ts'
import { makeOwnAuthority, type OwnAuthority } from './own-certificates.ts'
import { useNginx, type EdgeSettings } from './own-nginx.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'

const QUOTA = 10_000
const BUYERS = 8_000
const AT_ONCE = 8

const stores = useOwnStores()
const system = useProcesses(stores)
const edge = useNginx()
const lonely = useNginx()
let origin: string
let settings: EdgeSettings
let apis: RunningProcess[]
let others: RunningProcess[]
let saleId: number
let buyers: Buyer[]

const addressOf = (api: RunningProcess): string => new URL(api.origin).host

beforeAll(async () => {
  const port = await system.freePort()
  origin = `http://127.0.0.1:${port}`
  const start = (name: 'api' | 'order-worker' | 'stock-warmer', count: number) =>
    Promise.all(Array.from({ length: count }, () => system.startReady(name, { PUBLIC_ORIGIN: origin })))
  // One role after the other: ten processes that start at once would hold each other up.
  apis = await start('api', 3)
  const workers = await start('order-worker', 2)
  const warmers = await start('stock-warmer', 2)
  others = [...workers, ...warmers]
  settings = { port, apis: apis.map(addressOf) }
  await edge.start(settings)
  saleId = await addSale(stores, { quota: QUOTA })
  buyers = await makeCrowd(stores, { saleId, count: BUYERS, secrets: system.secrets, publicOrigin: origin })
  await vi.waitUntil(async () => (await unitsLeft(stores, saleId)) === QUOTA, { timeout: 15_000 })
}, 240_000)

describe('three apis behind the shipped nginx, two order-workers, two stock-warmers', () => {
  it('sell through a rolling reload of everything without one purchase that fails', async () => {
    const rush = startRush(buyers, AT_ONCE, (buyer) => buyOnce(buyer, origin, saleId))
    await expect.poll(rush.made, { timeout: 10_000 }).toBeGreaterThan(20)

    for (const api of apis) {
      // As docs/operations.md has it: first no new request, then the end, then the new one, then requests again.
      await edge.reload({
        ...settings,
        apis: apis.map((one) => addressOf(one) + (one === api ? ' down' : '')),
      })
      await api.kill('SIGTERM')
      await api.restart()
      await edge.reload(settings)
    }
    // One worker and one warmer at a time.
    for (const some of [others.filter((_, at) => at % 2 === 0), others.filter((_, at) => at % 2 === 1)]) {
      await Promise.all(
        some.map(async (one) => {
          await one.kill('SIGTERM')
          await one.restart()
        }),
      )
    }
    const madeByThen = rush.made()
    await expect.poll(rush.made, { timeout: 10_000 }).toBeGreaterThan(madeByThen + 20)
    const attempts = await rush.end()

    buyers = buyers.slice(attempts.length)
    expect(countAnswers(attempts)).toEqual({ '202': attempts.length })
    await expect.poll(() => isAtRest(stores, saleId), { timeout: 60_000 }).toBe(true)
    expect(await audit(stores, saleId)).toEqual([])
    expect(await unitsLeft(stores, saleId)).toBe(QUOTA - attempts.length)
  }, 300_000)

  it('lose nothing when an api is killed: who got no answer is told to ask again, and is led to their order', async () => {
    const [victim] = apis as [RunningProcess]
    const rush = startRush(buyers, AT_ONCE, (buyer) => buyOnce(buyer, origin, saleId))
    await expect.poll(rush.made, { timeout: 10_000 }).toBeGreaterThan(20)
    await victim.kill('SIGKILL')
    const madeByThen = rush.made()
    await expect.poll(rush.made, { timeout: 20_000 }).toBeGreaterThan(madeByThen + 100)
    await victim.restart()
    const attempts = await rush.end()
    buyers = buyers.slice(attempts.length)

    const unanswered = attempts.filter(({ status }) => status !== 202)
    expect(Object.keys(countAnswers(attempts)).toSorted()).toEqual(
      unanswered.length > 0 ? ['202', '503 outcome-unknown'] : ['202'],
    )
    for (const { buyer } of unanswered) {
      const again = await buyOnce(buyer, origin, saleId, { isRetry: true })
      expect([200, 202]).toContain(again.status)
    }
    await expect.poll(() => isAtRest(stores, saleId), { timeout: 60_000 }).toBe(true)
    expect(await audit(stores, saleId)).toEqual([])
  })

  it('answer from a copy what everybody sees alike, for one second and without anybody’s cookie', async () => {
    const [buyer] = buyers as [Buyer]
    const url = `${origin}/api/v1/sales/${saleId}`
    const look = async (cookie?: string) => {
      const answer = await fetch(url, cookie ? { headers: { cookie } } : {})
      return { cache: answer.headers.get('x-cache'), body: await answer.text() }
    }
    await expect.poll(async () => (await look()).cache, { interval: 5 }).toBe('HIT')
    const of = await look(buyer.cookie)
    expect((JSON.parse(of.body) as { saleId: number }).saleId).toBe(saleId)

    // A second later it is asked for anew.
    const nowMs = async () => (JSON.parse((await look()).body) as { nowMs: number }).nowMs
    const first = await nowMs()
    await expect
      .poll(async () => (await nowMs()) - first, { timeout: 10_000, interval: 20 })
      .toBeGreaterThan(0)
    const me = await fetch(`${origin}/api/v1/me`, { headers: { cookie: buyer.cookie } })
    expect([me.status, me.headers.get('x-cache')]).toEqual([200, null])
  })

  it('believe nothing that a client says about where it comes from', async () => {
    // LIMIT_NOT_FOUND is 300 a minute for an address, at each of three apis: who could choose an address would not meet it.
    const statuses = new Set<number>()
    for (let at = 0; at < 1_000 && !statuses.has(429); at += 1) {
      const address = `203.0.113.${at % 250}`
      const headers = { 'x-forwarded-for': address, forwarded: `for=${address}`, 'x-real-ip': address }
      const answer = await fetch(`${origin}/no-such-page-${at}`, { headers })
      statuses.add(answer.status)
      await answer.body?.cancel()
    }
    expect(statuses).toEqual(new Set([404, 429]))
  })

  it('stream the news of an order as they come', async () => {
    const [buyer] = buyers.splice(0, 1) as [Buyer]
    const { orderId } = await buyOnce(buyer, origin, saleId)
    const answer = await fetch(`${origin}/api/v1/orders/${orderId}/events`, {
      headers: { cookie: buyer.cookie },
    })
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/)
    let text = ''
    for await (const chunk of answer.body ?? []) text += Buffer.from(chunk).toString()
    expect(text).toContain('awaiting_payment')
  })
})

describe('with TLS that ends at nginx', () => {
  const secure = useNginx()
  let ports: { plain: number; tls: number }
  let folder: TemporaryFolder
  let authority: OwnAuthority

  afterAll(() => folder.remove())
  beforeAll(async () => {
    folder = await makeTemporaryFolder()
    authority = await makeOwnAuthority(folder.path)
    ports = { plain: await system.freePort(), tls: await system.freePort() }
    const api = await system.startReady('api', { PUBLIC_ORIGIN: `https://localhost:${ports.tls}` })
    const { certificate, key } = await authority.issue('edge', 'DNS:localhost')
    await secure.start({
      port: ports.plain,
      apis: [addressOf(api)],
      tls: { port: ports.tls, certificate, key },
    })
  }, 60_000)

  it('nginx itself finds nothing to object to, in this configuration and in the one without TLS', async () => {
    for (const one of [secure, edge]) {
      const said = await one.test()
      expect(said).toContain('test is successful')
      expect(said).not.toMatch(/\[(warn|emerg)\]/)
    }
  })

  it('a login gets a cookie of this host alone, for TLS alone, and is known by it', async () => {
    const registered = await send('POST', '/api/v1/auth/register', {
      phone: '+8613912345678',
      password: 'correct horse battery',
    })
    expect(registered.status).toBe(201)
    const [cookie = ''] = registered.headers['set-cookie'] ?? []
    expect(cookie).toMatch(/^__Host-blitz=[^;]+;/)
    const flags = cookie.split('; ').slice(1)
    expect(flags).toEqual(expect.arrayContaining(['Path=/', 'HttpOnly', 'Secure', 'SameSite=Lax']))
    expect(cookie).not.toMatch(/Domain=/i)

    const me = await send('GET', '/api/v1/me', undefined, cookie.split(';')[0])
    expect(me.status).toBe(200)
    expect(me.headers['strict-transport-security']).toContain('max-age=')
  })

  it('http is sent on to https, with the method and the body it came with', async () => {
    const answer = await fetch(`http://127.0.0.1:${ports.plain}/sales/1?from=mail`, { redirect: 'manual' })
    expect([answer.status, answer.headers.get('location')]).toEqual([
      308,
      'https://127.0.0.1/sales/1?from=mail',
    ])
  })

  function send(method: string, path: string, body?: object, cookie?: string) {
    return new Promise<{ status: number | undefined; headers: IncomingHttpHeaders }>((resolve, reject) => {
      const options = {
        method,
        ca: authority.text,
        headers: { ...(body && { 'content-type': 'application/json' }), ...(cookie && { cookie }) },
      }
      requestHttps(`https://localhost:${ports.tls}${path}`, options, (answer) => {
        answer.resume().once('end', () => resolve({ status: answer.statusCode, headers: answer.headers }))
      })
        .once('error', reject)
        .end(body && JSON.stringify(body))
    })
  }
})

describe('the static page', () => {
  it('is what a browser sees while no api answers, and a client gets a problem', async () => {
    const alone = await system.freePort()
    const nobody = await system.freePort()
    await lonely.start({ port: alone, apis: [`127.0.0.1:${nobody}`] })

    const page = await fetch(`http://127.0.0.1:${alone}/sales/1`)
    expect([page.status, page.headers.get('retry-after')]).toEqual([503, '5'])
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(await page.text()).toContain('back in a moment')

    const list = await fetch(`http://127.0.0.1:${alone}/api/v1/sales`)
    expect([list.status, list.headers.get('content-type')]).toEqual([503, 'application/problem+json'])
    expect(await list.json()).toMatchObject({ code: 'dependency-unavailable', retryAfterMs: 2000 })

    const purchase = await fetch(`http://127.0.0.1:${alone}/api/v1/sales/1/orders`, { method: 'POST' })
    expect(await purchase.json()).toMatchObject({ status: 503, code: 'outcome-unknown', retryAfterMs: 1000 })

    const tooLarge = await fetch(`http://127.0.0.1:${alone}/api/v1/auth/login`, {
      method: 'POST',
      body: 'x'.repeat(17_000),
    })
    expect(await tooLarge.json()).toMatchObject({ status: 413, code: 'body-too-large' })
  })
})

describe('HTTP smuggling through the shipped nginx', () => {
  /** Requests with two ideas of their own length, or with a wrong one. */
  const corpus: [string, string][] = [
    [
      'Content-Length and Transfer-Encoding',
      'Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET',
    ],
    [
      'Transfer-Encoding and Content-Length',
      'Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n',
    ],
    ['two lengths that differ', 'Content-Length: 0\r\nContent-Length: 44\r\n\r\n'],
    ['two lengths in one line', 'Content-Length: 0, 44\r\n\r\n'],
    ['a length with a sign', 'Content-Length: +0\r\n\r\n'],
    ['a negative length', 'Content-Length: -1\r\n\r\n'],
    ['a length in hex', 'Content-Length: 0x0\r\n\r\n'],
    ['two encodings, one unknown', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n'],
    ['an unknown encoding', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
    ['an encoding twice', 'Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n'],
    ['a blank before the colon', 'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n'],
    ['a folded header', 'X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a vertical tab', 'Transfer-Encoding:\u000bchunked\r\n\r\n0\r\n\r\n'],
    ['a broken chunk size', 'Transfer-Encoding: chunked\r\n\r\nZZ\r\nx\r\n0\r\n\r\n'],
    ['a chunk size that overflows', 'Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n'],
  ]
  const SMUGGLED = 'GET /api/v1/time HTTP/1.1\r\nHost: x\r\n\r\n'

  it.each(corpus)('is refused by nginx itself, and nothing of it reaches an api: %s', async (_name, rest) => {
    const answers = await sendRaw(`POST /api/v1/auth/logout HTTP/1.1\r\nHost: shop\r\n${rest}${SMUGGLED}`)

    expect(answers).toHaveLength(1)
    const [{ status, text }] = answers as [RawAnswer]
    expect([400, 501]).toContain(status)
    expect(text).toContain('<center>nginx</center>')
    // The connections to the apis, which clients share, are as they were.
    const next = await fetch(`${origin}/api/v1/sales`)
    expect(await next.json()).toHaveProperty('sales')
  })

  it('and what is well-formed goes through this very way', async () => {
    const answers = await sendRaw(
      `POST /api/v1/auth/logout HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n${SMUGGLED}`,
    )
    expect(answers.map(({ status }) => status)).toEqual([204, 200])
  })
})

interface RawAnswer {
  status: number
  text: string
}

/** Sends bytes as they are and reads what comes until the other side ends the connection or is silent. */
function sendRaw(bytes: string): Promise<RawAnswer[]> {
  const { hostname, port } = new URL(origin)
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname)
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk) => (text += String(chunk)))
    socket.on('error', () => undefined)
    socket.setTimeout(500, () => socket.destroy())
    socket.once('close', () => {
      const answers = text.split(/(?=HTTP\/1\.1 )/).filter((part) => part.startsWith('HTTP/1.1 '))
      resolve(answers.map((part) => ({ status: Number(part.slice(9, 12)), text: part })))
    })
    socket.write(bytes, 'latin1')
  })
}
