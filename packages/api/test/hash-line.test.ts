import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'

import type { PlaceInLine } from '@blitzbuy/core/user/hash-line'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { useApiOn, useOwnApi, type OwnApi } from './own-api.ts'

const api = useOwnApi({ HASHES_WAITING_MAX: '0' })
/** Gives up logins as soon as its event loop is a little late. */
const sensitive = useApiOn(api.stores, { SHED_BROWSING_DELAY_MS: '1', SHED_LOGINS_DELAY_MS: '1' })
let port: number
beforeAll(async () => {
  await Promise.all([api, sensitive].map(({ app }) => app.listen({ host: '127.0.0.1', port: 0 })))
  port = portOf(api)
})

function portOf({ app }: OwnApi): number {
  return (app.server.address() as AddressInfo).port
}

let hashing: PlaceInLine
beforeEach(() => {
  hashing = api.core.hashLine.join() as PlaceInLine
})
afterEach(() => hashing.leave())

async function open(): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

interface Sent {
  path: string
  type?: string
  body?: string
  headers?: string
}

const JSON_LOGIN = '{"phone":"+8613800000001","password":"a wrong guess"}'
const FORM = 'application/x-www-form-urlencoded'

function request({ path, type = 'application/json', body = JSON_LOGIN, headers = '' }: Sent): string {
  return (
    `POST ${path} HTTP/1.1\r\nhost: x\r\n${headers}content-type: ${type}\r\nconnection: close\r\n` +
    `content-length: ${body.length}\r\n\r\n${body}`
  )
}

/** On a connection that has spoken before, requests are parsed before they are refused; on a new one they are not. */
const CONNECTIONS = {
  new: open,
  'used before': async () => {
    const socket = await open()
    socket.write('GET /api/v1/time HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(socket, 'data')
    return socket
  },
}

async function send(
  connection: keyof typeof CONNECTIONS,
  sent: Sent,
): Promise<{ head: string; body: string }> {
  const socket = await CONNECTIONS[connection]()
  socket.write(request(sent))
  const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n')
  return { head, body }
}

async function refusedCount(path: string): Promise<number> {
  const line = (await api.core.metrics.registry.metrics())
    .split('\n')
    .find(
      (one) =>
        one.includes('duration_seconds_count') && one.includes(`route="${path}"`) && one.includes('503'),
    )
  return Number(line?.split(' ').at(-1) ?? 0)
}

describe.each(['new', 'used before'] as const)(
  'who finds the line of hashes full, on a %s connection,',
  (connection) => {
    it.each(['/api/v1/auth/login', '/api/v1/auth/register', '/api/v1/auth/%6cogin?a=b'])(
      'hears at %s that nothing was done, as of every other refusal, and the connection is closed',
      async (path) => {
        const before = await refusedCount(decodeURI(path).replace(/\?.*/, ''))
        const { head, body } = await send(connection, { path })
        expect(head).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/)
        expect(head).toMatch(/\r\ncontent-type: application\/problem\+json/)
        expect(head).toMatch(/\r\nretry-after: [1-9]\d*/)
        expect(head).toMatch(/\r\nconnection: close/)
        expect(head).toMatch(/\r\ncache-control: no-store/)
        expect(head).toMatch(/\r\ncontent-security-policy: /)
        const problem = JSON.parse(body) as Record<string, unknown>
        expect(problem).toMatchObject({ status: 503, code: 'overloaded', retryAfterMs: expect.any(Number) })
        expect(head).toContain(`\r\nx-request-id: ${String(problem['requestId'])}`)
        expect(await refusedCount(decodeURI(path).replace(/\?.*/, ''))).toBe(before + 1)
      },
    )

    it.each([
      ['zh-CN,zh;q=0.9', '', 'zh-CN', '当前人数过多'],
      ['zh-CN,zh;q=0.9', 'cookie: blitz-lang=en\r\n', 'en', 'We&#39;re very busy'],
    ])(
      'sees a page that says so, for a form, in the language of %s and "%s"',
      async (accepted, cookie, lang, title) => {
        for (const path of ['/login', '/register?next=%2F']) {
          const headers = `accept: text/html\r\naccept-language: ${accepted}\r\n${cookie}`
          const { head, body } = await send(connection, {
            path,
            type: FORM,
            body: 'phone=1&password=2',
            headers,
          })
          expect(head).toMatch(/^HTTP\/1\.1 503 /)
          expect(head).toMatch(/\r\ncontent-type: text\/html; charset=utf-8/)
          expect(head).toMatch(/\r\nretry-after: [1-9]\d*/)
          expect(body).toContain(`<html lang="${lang}">`)
          expect(body).toContain(title)
          const [, requestId = ''] = /x-request-id: (\S+)/.exec(head) ?? []
          expect(body).toContain(requestId)
          expect(body.trimEnd()).toMatch(/<\/html>$/)
        }
      },
    )

    it('costs no parsed request, unless one has been parsed before', async () => {
      const parsed: (string | undefined)[] = []
      const note = ({ method }: IncomingMessage): void => void parsed.push(method)
      api.app.server.on('request', note)
      await send(connection, { path: '/api/v1/auth/login' })
      await send(connection, { path: '/login', type: FORM, body: 'phone=1' })
      api.app.server.off('request', note)
      expect(parsed).toEqual(connection === 'new' ? [] : ['GET', 'POST', 'GET', 'POST'])
    })

    it('is not held up in anything else', async () => {
      const { head } = await send(connection, { path: '/api/v1/auth/logout', body: '{}' })
      expect(head).not.toMatch(/^HTTP\/1\.1 503/)
    })
  },
)

it('lets in again as soon as somebody has left', async () => {
  expect((await send('new', { path: '/api/v1/auth/login' })).head).toMatch(/^HTTP\/1\.1 503/)
  hashing.leave()
  expect((await send('new', { path: '/api/v1/auth/login' })).head).toMatch(/^HTTP\/1\.1 401/)
})

it('gives up logins under load before they wait, not after it', async () => {
  const late = setInterval(() => {
    const untilMs = performance.now() + 10
    while (performance.now() < untilMs);
  }, 12)
  try {
    const logIn = async () => {
      const answer = await fetch(`http://127.0.0.1:${portOf(sensitive)}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON_LOGIN,
      })
      return { status: answer.status, connection: answer.headers.get('connection') }
    }
    // Whom a hook refuses, behind the wait, keeps the connection.
    await expect.poll(logIn, { timeout: 10_000 }).toEqual({ status: 503, connection: 'close' })
  } finally {
    clearInterval(late)
  }
}, 15_000)
