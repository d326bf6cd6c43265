import { connect, type Socket } from 'node:net'

import { beforeAll, describe, expect, it } from 'vitest'

import { useOwnStores } from '../packages/core/test/own-stores.ts'
import { useProcesses } from './running-blitzbuy.ts'

const HEADERS_MS = 1_000
const REQUEST_MS = 2_000
const IDLE_MS = 3_000
/** Node looks at its connections twice a second, and is patient with a kept one for a second more. */
const LATE_MS = 2_500
const SLOW_CLIENTS = 300

const HALF_A_LOGIN =
  'POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n{'

const stores = useOwnStores()
const processes = useProcesses(stores, {
  HEADERS_TIMEOUT_MS: String(HEADERS_MS),
  REQUEST_TIMEOUT_MS: String(REQUEST_MS),
  IDLE_TIMEOUT_MS: String(IDLE_MS),
})

let origin: string
beforeAll(async () => {
  ;({ origin } = await processes.startReady('api'))
}, 60_000)

interface End {
  afterMs: number
  answer: string
}

/** A client that sends `text` and then one `drip` every 200 ms, until the connection is closed under it. */
function slowClient(text: string, drip = ''): Promise<End> {
  return new Promise((resolve) => {
    const beganMs = performance.now()
    const socket: Socket = connect(Number(new URL(origin).port), '127.0.0.1', () => {
      if (text) socket.write(text)
    })
    const dripping = drip ? setInterval(() => socket.writable && socket.write(drip), 200) : undefined
    let answer = ''
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearInterval(dripping)
      resolve({ afterMs: performance.now() - beganMs, answer })
    })
  })
}

const many = (count: number, one: () => Promise<End>) => Promise.all(Array.from({ length: count }, one))

describe('a client that is slow on purpose', () => {
  it.each([
    ['sends nothing at all', '', '', HEADERS_MS],
    ['sends a header every now and then', 'GET / HTTP/1.1\r\nhost: x\r\n', 'x: y\r\n', HEADERS_MS],
    ['never ends its body', HALF_A_LOGIN, ' ', REQUEST_MS],
    [
      'sends chunks for ever',
      'POST /api/v1/auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
      '1\r\n \r\n',
      REQUEST_MS,
    ],
    ['is silent after its answer', 'GET /api/v1/time HTTP/1.1\r\nhost: x\r\n\r\n', '', IDLE_MS],
  ])('and %s is let go in time, while others are served', async (_what, text, drip, budgetMs) => {
    const slow = many(SLOW_CLIENTS, () => slowClient(text, drip))
    let ended: End[] | undefined
    void slow.then((ends) => (ended = ends))

    const tookMs: number[] = []
    while (!ended) {
      const beganMs = performance.now()
      expect((await fetch(`${origin}/api/v1/time`)).status).toBe(200)
      tookMs.push(performance.now() - beganMs)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    for (const { afterMs, answer } of ended) {
      expect(afterMs).toBeLessThan(budgetMs + LATE_MS)
      // Node's own words, or nothing, are none: the last words are a problem like any other.
      if (answer.includes(' 408 '))
        expect(answer).toMatch(/content-security-policy: [\s\S]*"code":"request-timeout"/)
    }
    const p95 = tookMs.toSorted((a, b) => a - b)[Math.floor(tookMs.length * 0.95)] ?? 0
    expect(p95).toBeLessThan(500)
  })

  it('and holds back the bodies of more logins than may wait holds up nobody else’s for long', async () => {
    // As long as it takes until its connection is closed; the places in the line are free again long before.
    const slow = many(SLOW_CLIENTS, () => slowClient(HALF_A_LOGIN, ' '))
    let isOver = false
    void slow.then(() => (isOver = true))
    const statuses: number[] = []
    while (!isOver && statuses.at(-1) !== 401) {
      const answer = await fetch(`${origin}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ phone: '+12133734253', password: 'not the right one' }),
      })
      statuses.push(answer.status)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(isOver).toBe(false)
    expect(statuses.at(-1)).toBe(401)
    await slow
  })

  it('and asks for a hundred things at once down one connection gets a hundred answers, in order', async () => {
    const requests = Array.from(
      { length: 100 },
      (_, at) =>
        `GET /api/v1/sales/${at % 2 ? 'none' : '0'} HTTP/1.1\r\nhost: x\r\n${at === 99 ? 'connection: close\r\n' : ''}\r\n`,
    )
    const { answer } = await slowClient(requests.join(''))
    expect(answer.match(/HTTP\/1\.1 404 /g)).toHaveLength(100)
  })
})
