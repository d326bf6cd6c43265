import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/** Below the range that systems hand out for outgoing connections, so a store's port is not lost between two starts. */
const PORTS = { first: 20_000, last: 31_999 }

/** Whether a port can be listened on, on every address that `localhost` may mean. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await canListen(port, '127.0.0.1')) && (await canListen(port, '::1'))
}

/** A port that is free now and not among those taken; the caller adds it there. */
export async function findFreePort(taken: ReadonlySet<number>): Promise<number> {
  for (;;) {
    const port = randomInt(PORTS.first, PORTS.last + 1)
    if (!taken.has(port) && (await isPortFree(port))) return port
  }
}

/** The preferred port, or the first free one after it. */
export async function findPortFrom(preferred: number, taken: ReadonlySet<number>): Promise<number> {
  for (let port = preferred; port <= 65_535; port++) {
    if (!taken.has(port) && (await isPortFree(port))) return port
  }
  throw new Error(`no free port from ${preferred} on`)
}

function canListen(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    // A machine without IPv6 has no ::1 to be taken.
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT'),
    )
    server.listen({ port, host }, () => server.close(() => resolve(true)))
  })
}
