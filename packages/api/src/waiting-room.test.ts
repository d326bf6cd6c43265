import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'

import { afterEach, describe, expect, it } from 'vitest'

import { createWaitingRoom, type WaitingRoom } from './waiting-room.ts'

let server: Server
let room: WaitingRoom
let isOpen: boolean
/** Whom they served, in that order; a refused one with a minus before it. */
let served: string[]
afterEach(() => new Promise((resolve) => server.close(resolve)))

async function listen(waitingMax: number): Promise<() => Promise<Socket>> {
  served = []
  isOpen = false
  server = createServer((request, response) => room.enter(request, response))
  room = createWaitingRoom({
    isOpen: () => isOpen,
    whenFull: (count) => (count < waitingMax ? undefined : { kind: 'overloaded', retryAfterMs: 1_000 }),
    serve: (request, response) => {
      served.push(nameOf(request))
      response.setHeader('connection', 'close').end()
    },
    refuse: ({ request, response }) => {
      served.push(`-${nameOf(request)}`)
      response.setHeader('connection', 'close').end()
    },
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return async () => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    return socket
  }
}

const nameOf = ({ url = '' }: IncomingMessage): string => url.slice(1)

const request = (name: string, body = '', length = body.length): string =>
  `POST /${name} HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n${body}`

/** The next one is sent when this one has been parsed. */
async function ask(socket: Socket, name: string, sent = request(name)): Promise<void> {
  const parsed = once(server, 'request')
  socket.write(sent)
  await parsed
}

async function openUp(): Promise<void> {
  isOpen = true
  await new Promise(setImmediate)
  room.callNext()
}

describe('the waiting room', () => {
  it('lets in in the order in which they came, and refuses at once who finds it full', async () => {
    const open = await listen(3)
    for (const name of ['a', 'b', 'c', 'd', 'e']) await ask(await open(), name)
    await expect.poll(() => served).toEqual(['-d', '-e'])
    await openUp()
    expect(served).toEqual(['-d', '-e', 'a', 'b', 'c'])
  })

  it('has no place for one whose body is not there yet', async () => {
    const open = await listen(2)
    const slow = await Promise.all([open(), open(), open()])
    for (const socket of slow) await ask(socket, 'slow', request('slow', '{', 2))
    const quick = await open()
    await ask(quick, 'quick')
    await openUp()
    expect(served).toEqual(['quick'])
    slow[1]?.write('}')
    await expect.poll(() => served).toEqual(['quick', 'slow'])
    for (const socket of slow) socket.destroy()
  })

  it('does not hold back a body that is longer than may be: it is refused by who reads it', async () => {
    const open = await listen(2)
    const socket = await open()
    socket.write(request('long', 'x'.repeat(70_000), 1_000_000))
    await expect.poll(() => served).toEqual(['long'])
    socket.destroy()
  })

  it('passes over those who have gone', async () => {
    const open = await listen(3)
    const [gone, stays] = [await open(), await open()]
    const closed = new Promise((resolve) =>
      server.once('request', (left: IncomingMessage) => left.once('close', resolve)),
    )
    await ask(gone, 'gone')
    await ask(stays, 'stays')
    gone.destroy()
    await closed
    await openUp()
    expect(served).toEqual(['stays'])
    await text(stays)
  })
})
