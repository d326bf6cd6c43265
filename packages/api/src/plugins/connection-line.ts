import type { Server } from 'node:http'
import type { Socket } from 'node:net'

import fp from 'fastify-plugin'

/** Connections that are handed to the HTTP parser in one turn of the event loop, before it looks after everybody else. */
const AT_ONCE = 4
const SWEEP_MS = 500
/** Who was turned away may take so long to hang up. */
const LINGER_MS = 2_000

/** As Node calls a connection that does not send its headers in time. */
class SilentConnection extends Error {
  readonly code = 'ERR_HTTP_REQUEST_TIMEOUT'
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Whom it has last words for, that connection is closed with them before it gets to the HTTP parser. */
    turnAway(lastWordsTo: LastWordsTo): void
  }
}

/** Most of the time there is nothing to refuse, and the bytes need not be looked at. */
export type LastWordsTo = (readFirstBytes: () => Buffer) => string | undefined

type OnConnection = (this: Server, socket: Socket) => void

/**
 * New connections wait in front of the HTTP parser until their first bytes are there; then it gets a few in each turn.
 *
 * Node hands over all that can be read before it looks at anything else: thousands who connect in one moment would hold up
 * a purchase on a connection that stands until the last of them is parsed. To read their bytes alone takes half as long
 * (docs/decisions/0048). All get in, in the order in which they spoke.
 */
export default fp<{ speakWithinMs: number }>(
  async (app, { speakWithinMs }) => {
    const { server } = app
    const [serve] = server.listeners('connection') as OnConnection[]
    if (!serve) throw new TypeError('the server has no listener for connections yet')
    /** Since when they say nothing, in that order. */
    const silentSinceMs = new Map<Socket, number>()
    let line: Socket[] = []
    let next = 0

    let lastWordsTo: LastWordsTo = () => undefined
    app.decorate('turnAway', (given) => void (lastWordsTo = given))

    const handOver = (socket: Socket): void => {
      if (socket.destroyed) return
      let firstBytes: Buffer | undefined
      const lastWords = lastWordsTo(() => (firstBytes = socket.read() as Buffer))
      if (lastWords !== undefined) return turnAway(socket, lastWords)
      if (firstBytes) socket.unshift(firstBytes)
      socket.off('error', onError)
      serve.call(server, socket)
      // To listen for `readable` has stopped the flow.
      socket.resume()
    }
    const turnAway = (socket: Socket, lastWords: string): void => {
      // Closed at once it would be reset if more of the request is still on its way, and the words would be lost.
      setTimeout(() => socket.destroy(), LINGER_MS).unref()
      socket.resume().end(lastWords)
    }
    const handOverSome = (): void => {
      const end = Math.min(next + AT_ONCE, line.length)
      while (next < end) handOver(line[next++] as Socket)
      if (next < line.length) return void setImmediate(handOverSome)
      line = []
      next = 0
    }
    function onReadable(this: Socket): void {
      silentSinceMs.delete(this)
      this.off('readable', onReadable)
      // Nothing to read is their end.
      if (this.readableLength === 0) return void this.destroy()
      line.push(this)
      if (line.length === 1) setImmediate(handOverSome)
    }
    // A reset without a listener would end the process. Node closes the connection.
    function onError(this: Socket): void {
      silentSinceMs.delete(this)
    }
    const receive = (socket: Socket): void => {
      silentSinceMs.set(socket, performance.now())
      socket.on('readable', onReadable).on('error', onError)
    }
    server.off('connection', serve).on('connection', receive)

    const sweep = setInterval(() => {
      const beforeMs = performance.now() - speakWithinMs
      for (const [socket, sinceMs] of silentSinceMs) {
        if (sinceMs > beforeMs) break
        silentSinceMs.delete(socket)
        socket.off('readable', onReadable)
        server.emit('clientError', new SilentConnection(), socket)
      }
    }, SWEEP_MS)
    sweep.unref()
    // The server knows nothing of them and would wait for them.
    app.addHook('preClose', (done) => {
      server.off('connection', receive).on('connection', serve)
      for (const socket of silentSinceMs.keys()) socket.destroy()
      done()
    })
    app.addHook('onClose', (_app, done) => {
      clearInterval(sweep)
      done()
    })
  },
  { name: 'connection-line' },
)
