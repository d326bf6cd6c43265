import fp from 'fastify-plugin'

import { refuse } from '../refusals.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Each request proves itself by a signature and carries no cookie: where it comes from says nothing. */
    isSigned?: boolean
  }
}

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Refuses what another site makes a browser send: browsers say where a request comes from, and cannot be made to lie.
 *
 * A client that is no browser sends neither header and carries its cookie on purpose.
 */
export default fp<{ publicOrigin: string }>(
  async (app, { publicOrigin }) => {
    app.addHook('onRequest', (request, reply, done) => {
      const { origin, 'sec-fetch-site': fetchSite } = request.headers
      const isForeignSite = fetchSite === 'cross-site' || fetchSite === 'same-site'
      const isForeignOrigin = origin !== undefined && origin !== publicOrigin
      if (!isForeignSite && !isForeignOrigin) return done()
      // Last: Fastify puts a route's options together anew for each who asks.
      if (SAFE.has(request.method) || request.routeOptions.config.isSigned) return done()
      refuse(reply, { code: 'cross-site' })
    })
  },
  { name: 'cross-site' },
)
