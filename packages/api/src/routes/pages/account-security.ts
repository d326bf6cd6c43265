import type { Account } from '@blitzbuy/core/user/accounts'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'

import { challengeLogin, changePassword, endAllSessions, needsCheck } from '../../logins.ts'
import type { TextKey } from '../../messages/language.ts'
import { REFUSALS, RETRY_SOON_MS, refuse, type Refusal } from '../../refusals.ts'
import { readCheck, readField } from './form-fields.ts'
import { requireLogin } from './require-login.ts'

const HERE = '/account/sessions'
const INCOMPLETE = 422

interface Problem {
  field: 'old' | 'new' | 'answer'
  text: TextKey
}

/** A form of somebody whose login has ended meanwhile leads to the login page, not to a stale token. */
const NEEDS_LOGIN = { config: { needsLogin: true } }

/** Where one is logged in, ending that, and changing the password. */
const accountSecurityPages: FastifyPluginAsync = async (app) => {
  const { sessions } = app.core

  app.get<{ Querystring: { notice?: unknown } }>(HERE, async (request, reply) => {
    const account = requireLogin(request, reply, HERE)
    return account ? show(request, reply, account, { isChanged: request.query.notice === 'changed' }) : reply
  })

  app.post<{ Params: { id: string } }>(`${HERE}/:id/end`, NEEDS_LOGIN, async (request, reply) => {
    const account = requireLogin(request, reply, HERE)
    if (!account) return reply
    // Ended now or before: it is no longer in the list, and that is what was asked for.
    await sessions.endOwn(account.userId, request.params.id)
    return reply.redirect(HERE, 303)
  })

  app.post(`${HERE}/end`, NEEDS_LOGIN, async (request, reply) => {
    const account = requireLogin(request, reply, HERE)
    if (!account) return reply
    await endAllSessions(request, reply, account)
    return reply.redirect('/', 303)
  })

  app.post('/account/password', { onRequest: app.limits.auth, ...NEEDS_LOGIN }, async (request, reply) => {
    const account = requireLogin(request, reply, HERE)
    if (!account) return reply
    const passwords = { old: readField(request.body, 'old'), new: readField(request.body, 'new') }
    const problems: Problem[] = []
    if (passwords.old === '') problems.push({ field: 'old', text: 'form.password-missing' })
    if (passwords.new === '') problems.push({ field: 'new', text: 'form.new-password-missing' })
    if (problems.length > 0) return show(request, reply.code(INCOMPLETE), account, { problems })

    const refusal = await changePassword(request, account, { ...passwords, check: readCheck(request.body) })
    return refusal
      ? refusePassword(request, reply, account, refusal)
      : reply.redirect(`${HERE}?notice=changed`, 303)
  })

  async function refusePassword(
    request: FastifyRequest,
    reply: FastifyReply,
    account: Account,
    refusal: Refusal,
  ) {
    const { code } = refusal
    if (code === 'overloaded' || code === 'blocked') return refuse(reply, refusal)
    const check = needsCheck(refusal) ? await challengeLogin(request, 'image') : undefined
    if (check && check.kind !== 'image')
      return refuse(reply, { code: 'overloaded', retryAfterMs: RETRY_SOON_MS })
    const field = check ? 'answer' : code === 'password-weak' ? 'new' : 'old'
    return show(request, reply.code(REFUSALS[code].status), account, {
      problems: [{ field, text: `refusal.${code}` }],
      ...(check && { check, hasClientTexts: true }),
    })
  }

  async function show(
    request: FastifyRequest,
    reply: FastifyReply,
    { userId }: Account,
    more: { problems?: Problem[]; isChanged?: boolean; check?: object; hasClientTexts?: boolean },
  ) {
    const { problems = [], ...rest } = more
    const { text: t } = request.language
    const title = t('security.title')
    return reply.page('account-sessions', {
      title: problems.length > 0 ? t('form.error-prefix', { title }) : title,
      sessions: await sessions.listOf(userId, request.session.sessionId),
      problems: problems.map(({ field, text }) => ({ field, text: t(text) })),
      ...rest,
    })
  }
}

export default accountSecurityPages
