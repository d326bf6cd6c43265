import { formatNetwork, parseAddress, senderNetwork, type IpAddress } from '@blitzbuy/core/ip-address'
import { createRecentMap } from '@blitzbuy/core/recent-map'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

/** Where a request comes from. */
export interface Client {
  /** Undefined for a peer that has none, such as a socket of this host. */
  address: IpAddress | undefined
  /** What limits count by: the address, or the /64 around an IPv6 one. */
  sender: string
}

declare module 'fastify' {
  interface FastifyInstance {
    clientOf(request: FastifyRequest): Client
  }
  interface FastifyRequest {
    /** Kept by clientOf, for the checks that follow the first one. */
    knownClient: Client | undefined
  }
}

const UNKNOWN: Client = { address: undefined, sender: 'unknown' }
const REMEMBERED_MAX = 20_000
/** A longer X-Forwarded-For is read anew each time: no client may choose how much of it is kept. */
const REMEMBERED_LENGTH_MAX = 64

/**
 * The client's address: the peer's, or what a proxy of TRUSTED_PROXIES says.
 *
 * A proxy that passes on something that is no address names nobody; then the proxy itself is the client. The same
 * peer with the same X-Forwarded-For is the same client: finding out anew which of its addresses can be trusted
 * would cost more than all checks of a purchase.
 */
export default fp(
  async (app) => {
    const remembered = createRecentMap<string, Client>(REMEMBERED_MAX)

    const read = (request: FastifyRequest): Client =>
      clientAt(request.ip) ?? clientAt(request.socket.remoteAddress) ?? UNKNOWN

    const readOrRemember = (request: FastifyRequest): Client => {
      const forwarded = request.headers['x-forwarded-for'] ?? ''
      if (forwarded.length > REMEMBERED_LENGTH_MAX) return read(request)
      const route = `${request.socket.remoteAddress} ${String(forwarded)}`
      const known = remembered.get(route)
      if (known) return known
      const client = read(request)
      remembered.set(route, client)
      return client
    }

    app.decorateRequest('knownClient', undefined)
    app.decorate('clientOf', (request) => (request.knownClient ??= readOrRemember(request)))
  },
  { name: 'client' },
)

function clientAt(text: string | undefined): Client | undefined {
  const address = text === undefined ? undefined : parseAddress(text)
  return address && { address, sender: formatNetwork(senderNetwork(address)) }
}
