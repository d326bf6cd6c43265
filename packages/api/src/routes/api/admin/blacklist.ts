import type { BlacklistEntry } from '@blitzbuy/core/gate/blacklist-entries'
import { isInForce } from '@blitzbuy/core/gate/blacklist-index'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'

import { actorOf } from '../../../plugins/operators.ts'
import { refuse } from '../../../refusals.ts'
import { BlacklistBody, BlacklistRemoveBody } from '../../../schemas/operators.ts'

const LISTED_MAX = 1_000

const blacklistRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { operators, clock } = app.core
  const { blacklist, blacklistEntries } = operators

  app.get('/blacklist', async () => {
    const entries: BlacklistEntry[] = []
    for await (const page of blacklistEntries.pages()) {
      entries.push(...page.filter((entry) => isInForce(entry, clock.nowMs())))
      if (entries.length >= LISTED_MAX) break
    }
    return { entries: entries.slice(0, LISTED_MAX), isComplete: entries.length < LISTED_MAX }
  })

  app.post('/blacklist', { schema: { body: BlacklistBody } }, async (request, reply) => {
    const { kind, subject, reason, seconds } = request.body
    const named = await blacklist.subjectsOf({ kind, text: subject })
    if ('problem' in named) return refuseSubject(reply, named.problem)
    const lastsMs = seconds === undefined ? undefined : seconds * 1000
    const outcome = await blacklist.add(named.subjects, { reason, lastsMs }, actorOf(request))
    if (outcome === 'full') return refuse(reply, { code: 'blacklist-full' })
    return reply.code(201).send({ subjects: named.subjects })
  })

  app.delete('/blacklist', { schema: { body: BlacklistRemoveBody } }, async (request, reply) => {
    const { kind, subject, reason } = request.body
    const named = await blacklist.subjectsOf({ kind, text: subject })
    if ('problem' in named) return refuseSubject(reply, named.problem)
    return { removed: await blacklist.remove(named.subjects, reason, actorOf(request)) }
  })
}

export default blacklistRoutes

function refuseSubject(reply: Parameters<typeof refuse>[0], message: string) {
  return refuse(reply, { code: 'change-refused', errors: [{ field: 'subject', message }] })
}
