import { formatNetwork, parseAddress, senderNetwork, type IpAddress } from '@blitzbuy/core/ip-address'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'

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
    /** Kept by clientOf: reading X-Forwarded-For anew for each check would be most of their cost. */
    knownClient: Client | undefined
  }
}

const UNKNOWN: Client = { address: undefined, sender: 'unknown' }
const REMEMBERED_MAX = 20_000

/**
 * The client's address: the peer's, or what a proxy of TRUSTED_PROXIES says.
 *
 * A proxy that passes on something that is no address names nobody; then the proxy itself is the client.
 */
export default fp(
  async (app) => {
    const remembered = new LRUCache<string, Client>({ max: REMEMBERED_MAX })

    const read = (text: string | undefined): Client | undefined => {
      if (text === undefined) return undefined
      const known = remembered.get(text)
      if (known) return known
      const address = parseAddress(text)
      if (!address) return undefined
      const client = { address, sender: formatNetwork(senderNetwork(address)) }
      remembered.set(text, client)
      return client
    }

    app.decorateRequest('knownClient', undefined)
    app.decorate('clientOf', (request) => {
      request.knownClient ??= read(request.ip) ?? read(request.socket.remoteAddress) ?? UNKNOWN
      return request.knownClient
    })
  },
  { name: 'client' },
)
