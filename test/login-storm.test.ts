import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { describe, expect, it } from 'vitest'

import { useOwnStores } from '../packages/core/test/own-stores.ts'
import { useProcesses } from './running-blitzbuy.ts'

const stores = useOwnStores()
const processes = useProcesses(stores)
const LOGINS = 1_200

async function open(origin: string): Promise<Socket> {
  const { hostname, port } = new URL(origin)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

/** Each answer here fits into one packet. */
function ask(socket: Socket, method: string, path: string, body: string, address: string): Promise<string> {
  const answered = new Promise<string>((resolve) => {
    socket.once('data', (chunk: Buffer) => resolve(chunk.toString()))
    socket.once('close', () => resolve(''))
  })
  socket.write(
    `${method} ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-forwarded-for: ${address}\r\n` +
      `content-length: ${body.length}\r\n\r\n${body}`,
  )
  return answered
}

describe('a storm of logins', () => {
  it(
    'is refused without a trip and a few at a time: whoever asks for something else need not wait for its end',
    { retry: 2 },
    async () => {
      // One hashes, nobody waits.
      const { origin, pid } = await processes.startReady('api', { HASHES_WAITING_MAX: '0' })
      const sockets = await Promise.all(Array.from({ length: LOGINS + 1 }, () => open(origin)))
      const buyer = sockets.pop() as Socket
      const askTime = () => ask(buyer, 'GET', '/api/v1/time', '', '10.2.0.1')
      const logIn = (socket: Socket, at: number): Promise<string> => {
        const body = JSON.stringify({
          phone: `+86139${String(at).padStart(8, '0')}`,
          password: 'a wrong guess',
        })
        return ask(socket, 'POST', '/api/v1/auth/login', body, `10.1.${at >> 8}.${at & 255}`)
      }
      try {
        let refused = 0
        // Connections are accepted in their order: who came last is answered when all of them are.
        await askTime()
        // All of them are there when it goes on.
        process.kill(pid, 'SIGSTOP')
        const logins = sockets.map(async (socket, at) => {
          const answer = await logIn(socket, at)
          if (answer.startsWith('HTTP/1.1 503')) refused += 1
          return answer
        })
        const asked = askTime()
        setImmediate(() => process.kill(pid, 'SIGCONT'))
        expect(await asked).toContain('HTTP/1.1 200')
        const told = await askTime()
        const refusedBefore = refused
        const answers = await Promise.all(logins)

        expect(told).toContain('HTTP/1.1 200')
        expect(refused).toBeGreaterThan(LOGINS / 2)
        expect(refusedBefore).toBeLessThan(refused * 0.9)
        const refusals = answers.filter((answer) => answer.startsWith('HTTP/1.1 503'))
        for (const refusal of refusals) {
          expect(refusal).toMatch(/\r\nretry-after: [1-9]\d*\r\n/)
          expect(refusal).toContain('"code":"overloaded"')
          // Before the limits, which are a trip: also those who came before the first one had taken its place.
          expect(refusal).not.toContain('\r\nratelimit')
          expect(refusal).toContain('\r\nconnection: close')
          expect(refusal).toContain('x-content-type-options: nosniff')
          expect(refusal).toMatch(/"requestId":"[^"]+"/)
        }
      } finally {
        process.kill(pid, 'SIGCONT')
        for (const socket of [...sockets, buyer]) socket.destroy()
      }
    },
  )
})
