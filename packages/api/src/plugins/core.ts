import fp from 'fastify-plugin'

import type { Core } from '../wire-core.ts'

declare module 'fastify' {
  interface FastifyInstance {
    core: Core
  }
}

/** What BlitzBuy is, for the routes; they call it and map its outcomes, nothing else. */
export default fp<{ core: Core }>(async (app, { core }) => void app.decorate('core', core), { name: 'core' })
