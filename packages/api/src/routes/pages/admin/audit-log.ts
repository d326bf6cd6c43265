import type { FastifyPluginAsync } from 'fastify'

import { showPage } from './show-page.ts'

const LISTED = 50

/** Who did what, the newest first. */
const auditLogPages: FastifyPluginAsync = async (app) => {
  const { auditLog } = app.core.operators

  app.get<{ Querystring: Record<string, unknown> }>('/audit-log', async (request, reply) => {
    const text = (name: string): string => {
      const value = request.query[name]
      return typeof value === 'string' ? value.trim().slice(0, 120) : ''
    }
    const subject = text('subject')
    const action = text('action')
    const before = /^[1-9]\d{0,15}$/.exec(text('before'))?.[0]
    const page = await auditLog(
      {
        subject: subject === '' ? undefined : subject,
        action: action === '' ? undefined : action,
        beforeId: before === undefined ? undefined : Number(before),
      },
      LISTED,
    )
    return showPage(reply, 'audit-log', {
      title: 'Audit log',
      area: 'audit-log',
      ...page,
      subject,
      action,
      isFirstPage: before === undefined,
    })
  })
}

export default auditLogPages
