import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** `up` is towards the store, `down` towards the process. */
export type Direction = 'up' | 'down'

/** What a link does to the bytes on it; nothing is ever lost on a connection that stands, as with TCP itself. */
export interface Toxics {
  /** Each piece arrives that much later, in order. */
  latencyMs?: number
  /** Nothing arrives in these directions until it is healed; the connections stand. */
  blackhole?: readonly Direction[]
  /** Every connection is cut when the store has sent so many bytes more: in the middle of an answer. */
  cutAfterBytes?: number
}

/** A TCP link between one process and one store. */
export interface Proxy {
  readonly port: number
  poison(toxics: Toxics): void
  heal(): Promise<void>
  /** Every connection ends with a reset; new ones may come. */
  reset(): void
  /** Nobody is there: connections are reset, new ones refused. */
  down(): Promise<void>
  close(): Promise<void>
}

interface Pair {
  ends: Record<Direction, Socket>
  bytesDown: number
}

export async function startProxy(target: { host: string; port: number }, port = 0): Promise<Proxy> {
  const pairs = new Set<Pair>()
  let toxics: Toxics = {}
  let server: Server | undefined
  let chosenPort = port

  async function listen(): Promise<void> {
    server = createServer(accept)
    server.listen(chosenPort, '127.0.0.1')
    await once(server, 'listening')
    chosenPort = (server.address() as { port: number }).port
  }

  function accept(client: Socket): void {
    const store = connect({ ...target, noDelay: true })
    client.setNoDelay(true)
    const pair: Pair = { ends: { up: store, down: client }, bytesDown: 0 }
    pairs.add(pair)
    for (const socket of [client, store]) {
      socket.on('error', () => undefined)
      socket.on('close', () => cut(pair))
    }
    pass(pair, client, store, 'up')
    pass(pair, store, client, 'down')
    if (toxics.blackhole) hold(pair)
  }

  function pass(pair: Pair, from: Socket, to: Socket, direction: Direction): void {
    from.on('data', (bytes: Buffer) => {
      const { cutAfterBytes, latencyMs = 0 } = toxics
      if (direction === 'down' && cutAfterBytes !== undefined) {
        const left = cutAfterBytes - pair.bytesDown
        pair.bytesDown += bytes.length
        if (bytes.length >= left) {
          to.write(bytes.subarray(0, Math.max(0, left)), () => cut(pair))
          return
        }
      }
      const send = (): void => {
        if (to.destroyed || to.write(bytes)) return
        from.pause()
        to.once('drain', () => !toxics.blackhole?.includes(direction) && from.resume())
      }
      if (latencyMs > 0) setTimeout(send, latencyMs)
      else send()
    })
    from.on('end', () => to.end())
  }

  /** Not read, so not passed on: when its buffers are full the sender waits too, as on a real blackhole. */
  function hold(pair: Pair): void {
    for (const direction of toxics.blackhole ?? []) {
      pair.ends[direction === 'up' ? 'down' : 'up'].pause()
    }
  }

  function cut(pair: Pair): void {
    pairs.delete(pair)
    for (const socket of Object.values(pair.ends)) if (!socket.destroyed) socket.resetAndDestroy()
  }

  const cutAll = (): void => {
    for (const pair of pairs) cut(pair)
  }

  async function stopListening(): Promise<void> {
    const stopping = server
    server = undefined
    if (!stopping) return
    const closed = once(stopping, 'close')
    stopping.close()
    cutAll()
    await closed
  }

  await listen()
  return {
    get port() {
      return chosenPort
    },
    poison(next) {
      toxics = next
      for (const pair of pairs) {
        pair.bytesDown = 0
        hold(pair)
      }
    },
    async heal() {
      toxics = {}
      if (!server) await listen()
      for (const pair of pairs) for (const socket of Object.values(pair.ends)) socket.resume()
    },
    reset: cutAll,
    down: stopListening,
    close: stopListening,
  }
}
