import fp from 'fastify-plugin'

import { refuse } from '../refusals.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route hashes a password. It is refused while too many wait for that. */
    hashesPassword?: boolean
  }
}

/**
 * In a storm of logins most are sent away: that must cost nothing, neither a session nor a trip nor reading what they
 * sent. So it is the first hook of all that belongs to persons.
 */
export default fp(
  async (app) => {
    const { hashLine } = app.core
    app.addHook('onRequest', (request, reply, done) => {
      const full = request.routeOptions.config.hashesPassword ? hashLine.whenFull() : undefined
      if (full) return void refuse(reply, { code: 'overloaded', retryAfterMs: full.retryAfterMs })
      done()
    })
  },
  { name: 'hash-line', dependencies: ['core'] },
)
