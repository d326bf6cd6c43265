import swagger from '@fastify/swagger'
import { RELEASE } from '@blitzbuy/core/release'
import fp from 'fastify-plugin'
import { Type } from 'typebox'

import { REFUSALS } from '../refusals.ts'

/** What every refusal looks like, whatever the call; API.md says which call answers which code. */
const PROBLEM = Type.Object(
  {
    status: Type.Integer(),
    title: Type.String(),
    code: Type.Enum(Object.keys(REFUSALS)),
    requestId: Type.Optional(Type.String()),
    retryAfterMs: Type.Optional(Type.Integer()),
    errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), message: Type.String() }))),
  },
  { description: 'A refusal. Some codes bring members of their own, e.g. opensAtMs.' },
)

/**
 * OpenAPI 3.1 out of the schemas that check the requests, so that it cannot say anything else than what is done.
 *
 * It is served on the health port alone: what a shop can do is no secret, but nobody needs it on the day of a sale.
 */
export default fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: { title: 'BlitzBuy', version: RELEASE, description: 'See API.md for what the calls promise.' },
        servers: [{ url: '/' }],
        components: {
          securitySchemes: { session: { type: 'apiKey', in: 'cookie', name: '__Host-blitz' } },
        },
      },
      transform: ({ schema, url, route }) => {
        const isHidden = !url.startsWith('/api/') || route.config?.isRefusal === true
        return {
          url,
          schema: isHidden ? { hide: true } : { ...schema, response: withProblem(schema?.response) },
        }
      },
    })
  },
  { name: 'openapi' },
)

function withProblem(response: unknown): Record<string, unknown> {
  const told = (response ?? {}) as Record<string, unknown>
  return {
    ...(Object.keys(told).length === 0 && { '2xx': { description: 'Done.' } }),
    ...told,
    default: { description: 'A refusal.', content: { 'application/problem+json': { schema: PROBLEM } } },
  }
}
