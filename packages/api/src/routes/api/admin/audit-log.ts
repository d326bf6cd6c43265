import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

const LISTED = 100

const AuditQuery = Type.Object(
  {
    subject: Type.Optional(Type.String({ maxLength: 120 })),
    action: Type.Optional(Type.String({ maxLength: 64 })),
    beforeId: Type.Optional(Type.String({ pattern: '^[1-9]\\d{0,15}$' })),
  },
  { additionalProperties: false },
)

/** Who did what, the newest first. It can be read and not be changed. */
const auditLogRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { auditLog } = app.core.operators

  app.get('/audit-log', { schema: { querystring: AuditQuery } }, async (request) => {
    const { subject, action, beforeId } = request.query
    return auditLog({ subject, action, beforeId: beforeId ? Number(beforeId) : undefined }, LISTED)
  })
}

export default auditLogRoutes
