import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

import type { TextKey } from '../../messages/language.ts'
import { wantsPage } from '../../request-head.ts'
import { REFUSALS, type RefusalCode } from '../../refusals.ts'

/**
 * Whatever refuses the request of a browser for a page, the shopper gets a page that says why.
 *
 * It turns the problem into HTML on its way out, so that every refusal is covered: of a route, of a hook before any
 * route, of an unknown address, of a store that is away. Clients of the api never meet it.
 */
export default fp(
  async (app) => {
    app.addHook('onSend', async (request, reply, payload) => {
      if (!isProblem(reply) || !wantsPage(request)) return payload
      const { code, retryAfterMs = 0 } = JSON.parse(String(payload)) as {
        code: RefusalCode
        retryAfterMs?: number
      }
      const filled = { ref: request.id, s: Math.max(1, Math.ceil(retryAfterMs / 1_000)) }
      reply.type('text/html; charset=utf-8')
      return app.renderPage(reply, 'error', {
        title: request.language.text(`refusal.${code}`, filled),
        status: REFUSALS[code].status,
        advice: adviceOn(code),
        requestId: request.id,
        // The switch of an address that leads nowhere would lead nowhere too.
        switchPath: '/',
      })
    })
  },
  { name: 'error-pages', dependencies: ['views'] },
)

function isProblem(reply: FastifyReply): boolean {
  return String(reply.getHeader('content-type') ?? '').startsWith('application/problem+json')
}

function adviceOn(code: RefusalCode): TextKey | undefined {
  if (code === 'not-found') return 'error.not-found'
  if (code === 'cross-site') return 'error.cross-site'
  if (code === 'csrf-invalid') return 'error.csrf-invalid'
  if (code === 'internal') return 'error.support'
  return REFUSALS[code].status >= 500 ? 'error.retry' : undefined
}
