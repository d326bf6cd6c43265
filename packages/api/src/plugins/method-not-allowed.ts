import fp from 'fastify-plugin'
import type { FastifyInstance, HTTPMethods } from 'fastify'

import { refuse } from '../refusals.ts'

/** What the router knows. Whatever else Node's parser lets through is a method that nothing here has. */
export const METHODS: readonly HTTPMethods[] = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
]

/** A known path with another method is answered 405 and told which methods there are. */
export default fp(
  async (app) => {
    const methodsByUrl = new Map<string, Set<string>>()
    app.decorate('methodsByUrl', methodsByUrl)
    let isComplete = false
    app.addHook('onRoute', ({ url, method }) => {
      if (isComplete) return
      const methods = methodsByUrl.get(url) ?? new Set()
      for (const one of [method].flat()) methods.add(one)
      methodsByUrl.set(url, methods)
    })

    app.decorate('refuseOtherMethods', function refuseOtherMethods(this: FastifyInstance) {
      isComplete = true
      for (const [url, methods] of methodsByUrl) {
        const allow = [...methods].join(', ')
        const others = METHODS.filter((method) => !methods.has(method))
        if (others.length === 0 || url.includes('*')) continue
        this.route({
          url,
          method: others,
          config: { isRefusal: true },
          // Before the body is read: it is not wanted, whatever it is.
          onRequest: (_request, reply, _done) =>
            void refuse(reply.header('allow', allow), { code: 'method-not-allowed' }),
          handler: () => undefined,
        })
      }
    })
  },
  { name: 'method-not-allowed' },
)

declare module 'fastify' {
  interface FastifyInstance {
    /** Every route there is, by the pattern of its URL. */
    methodsByUrl: ReadonlyMap<string, ReadonlySet<string>>
    /** Call it once, when every route stands, in the context whose hooks these answers shall have. */
    refuseOtherMethods(): void
  }
}
