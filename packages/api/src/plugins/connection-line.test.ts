import { once } from 'node:events'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'

import Fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'

import connectionLine from './connection-line.ts'

let app: FastifyInstance
/** Which connection each request came on, by its path, and in which turn of the event loop. */
let asked: { path: string; turn: number }[]
afterEach(() => app.close())

async function listen(speakWithinMs = 60_000): Promise<() => Promise<Socket>> {
  asked = []
  let turn = 0
  app = Fastify({ forceCloseConnections: 'idle' })
  await app.register(connectionLine, { speakWithinMs })
  app.addHook('onRequest', (request, _reply, done) => {
    asked.push({ path: request.url, turn })
    setImmediate(() => (turn += 1))
    done()
  })
  app.post('/:at', async (request) => request.body)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return async () => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    return socket
  }
}

const many = <T>(count: number, make: () => Promise<T>) => Promise.all(Array.from({ length: count }, make))

const connectionCount = () =>
  new Promise<number>((resolve) => app.server.getConnections((_error, count) => resolve(count)))

function post(path: string, body: string): string {
  return (
    `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n` +
    `content-length: ${body.length}\r\n\r\n${body}`
  )
}

describe('connections that speak for the first time', () => {
  it('are parsed a few in each turn of the event loop, in their order, and lose nothing', async () => {
    const open = await listen()
    const sockets = await many(200, open)
    // Node accepts one connection in each turn: else they would be parsed one by one anyhow.
    await expect.poll(connectionCount).toBe(200)
    for (const [at, socket] of sockets.entries()) socket.write(post(`/${at}`, `{"at":${at}}`))
    const answers = await Promise.all(sockets.map((socket) => text(socket)))

    expect(answers.map((answer) => answer.slice(answer.indexOf('{')))).toEqual(
      sockets.map((_, at) => `{"at":${at}}`),
    )
    expect(asked.map(({ path }) => path)).toEqual(sockets.map((_, at) => `/${at}`))
    const inTurn = new Map<number, number>()
    for (const { turn } of asked) inTurn.set(turn, (inTurn.get(turn) ?? 0) + 1)
    // Those who were handed over in one turn are parsed in the next.
    expect(Math.max(...inTurn.values())).toBeLessThanOrEqual(16)
  })

  it('may send a request in pieces, and another one after it', async () => {
    const open = await listen()
    const socket = await open()
    const request = post('/0', '{"is":"whole"}').replace('connection: close\r\n', '')
    for (const piece of [request.slice(0, 9), request.slice(9, -3), request.slice(-3)]) {
      socket.write(piece)
      await new Promise(setImmediate)
    }
    const [first] = (await once(socket, 'data')) as [Buffer]
    expect(first.toString()).toContain('{"is":"whole"}')
    socket.write(post('/1', '{"is":"next"}'))
    expect(await text(socket)).toContain('{"is":"next"}')
  })

  it('may be gone by then: nobody else is harmed', async () => {
    const open = await listen()
    const sockets = await many(100, open)
    for (const [at, socket] of sockets.entries()) {
      socket.write(post('/gone', '{}'))
      if (at % 2 === 0) socket.resetAndDestroy()
      else socket.destroy()
    }
    await expect.poll(connectionCount).toBe(0)
    // A reset that nobody listens for would end the process.
    const silent = await many(20, open)
    await expect.poll(connectionCount).toBe(20)
    for (const socket of silent) socket.resetAndDestroy()
    await expect.poll(connectionCount).toBe(0)
    const socket = await open()
    socket.write(post('/there', '{"is":"there"}'))
    expect(await text(socket)).toContain('{"is":"there"}')
  })
})

describe('a connection that is turned away', () => {
  const GONE = 'HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\ngone'

  it('hears last words and never gets to the parser; all others lose nothing', async () => {
    const open = await listen()
    app.turnAway((read) => (read().includes('POST /7 ') ? GONE : undefined))
    const sockets = await many(20, open)
    for (const [at, socket] of sockets.entries()) socket.write(post(`/${at % 10}`, `{"at":${at}}`))
    const answers = await Promise.all(sockets.map((socket) => text(socket)))

    for (const [at, answer] of answers.entries()) {
      if (at % 10 === 7) expect(answer).toBe(GONE)
      else expect(answer).toContain(`{"at":${at}}`)
    }
    expect(asked.some(({ path }) => path === '/7')).toBe(false)
    await expect.poll(connectionCount).toBe(0)
  })

  it('hears them although the rest of its request is still on its way', async () => {
    const open = await listen()
    app.turnAway((read) => (read().length > 0 ? GONE : undefined))
    const socket = await open()
    const heard = text(socket)
    socket.write('POST /7 HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n')
    await once(socket, 'readable')
    socket.write('x'.repeat(500_000))
    expect(await heard).toBe(GONE)
  })

  it('is closed although the other side does not hang up', async () => {
    await listen()
    app.turnAway((read) => (read().length > 0 ? GONE : undefined))
    const { port } = app.server.address() as AddressInfo
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => undefined).resume()
    await once(socket, 'connect')
    socket.write('POST /7 HTTP/1.1\r\nhost: x\r\n\r\n')
    await expect.poll(connectionCount).toBe(1)
    await expect.poll(connectionCount, { timeout: 10_000 }).toBe(0)
    socket.destroy()
  }, 15_000)
})

describe('a connection that says nothing', () => {
  it('is closed when its time is over', async () => {
    const open = await listen(50)
    expect(await text(await open())).toMatch(/^$|HTTP\/1.1 408/)
  })

  it('does not hold up the end', async () => {
    const open = await listen()
    const silent = await many(5, open)
    const closed = silent.map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    await app.close()
    await Promise.all(closed)
  })

  it('and goes away leaves nothing behind', async () => {
    const open = await listen()
    const socket = await open()
    const closed = once(socket, 'close')
    socket.end()
    await closed
    await expect.poll(connectionCount).toBe(0)
  })
})
