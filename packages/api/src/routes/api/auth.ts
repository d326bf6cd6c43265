import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { CAPTCHA_TTL_MS } from '@blitzbuy/core/gate/captchas'

import { refusalOfChallenge } from '../../check-answers.ts'
import { challengeLogin, changePassword, endAllSessions, logIn } from '../../logins.ts'
import { beginSession, endSession, requireAccount } from '../../plugins/session.ts'
import { refuse } from '../../refusals.ts'
import {
  AccountAnswer,
  LoginBody,
  PasswordBody,
  RegisterBody,
  SessionListAnswer,
  SessionParams,
} from '../../schemas/accounts.ts'
import { CaptchaAnswer, CaptchaBody, imageIsDefault, toCaptchaAnswer } from '../../schemas/checks.ts'

/** Accounts and sessions. */
const authRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { accounts, sessions, clock } = app.core

  const guarded = {
    onRequest: app.limits.auth,
    preHandler: app.admitPhone,
    config: { hashesPassword: true },
  }

  app.post(
    '/auth/register',
    { ...guarded, schema: { body: RegisterBody, response: { 201: AccountAnswer } } },
    async (request, reply) => {
      const outcome = await accounts.register(request.body)
      switch (outcome.kind) {
        case 'phone_taken':
          return refuse(reply, { code: 'phone-taken' })
        case 'phone_invalid':
          return refuse(reply, { code: 'phone-invalid' })
        case 'password_weak':
          return refuse(reply, { code: 'password-weak' })
        case 'overloaded':
          return refuse(reply, { code: 'overloaded', retryAfterMs: outcome.retryAfterMs })
        case 'registered':
          await beginSession(request, outcome.account)
          return reply.code(201).send(outcome.account)
      }
    },
  )

  app.post(
    '/auth/login',
    { ...guarded, schema: { body: LoginBody, response: { 200: AccountAnswer } } },
    async (request, reply) => {
      const { captchaId, answer, ...credentials } = request.body
      const check = captchaId && answer ? { captchaId, answer } : undefined
      const outcome = await logIn(request, { ...credentials, check })
      return outcome.kind === 'logged_in' ? outcome.account : refuse(reply, outcome.refusal)
    },
  )

  /** What `captcha-required` asks for. */
  app.post(
    '/auth/captchas',
    {
      onRequest: app.limits.auth,
      schema: { body: CaptchaBody, response: { 201: CaptchaAnswer } },
      preValidation: imageIsDefault,
    },
    async (request, reply) => {
      const outcome = await challengeLogin(request, request.body.kind ?? 'image')
      const expiresAtMs = clock.nowMs() + CAPTCHA_TTL_MS
      return outcome.kind === 'image' || outcome.kind === 'work'
        ? reply.code(201).header('cache-control', 'no-store').send(toCaptchaAnswer(outcome, expiresAtMs))
        : refuse(reply, refusalOfChallenge(outcome))
    },
  )

  app.post('/auth/logout', { config: { isOpenToBlocked: true } }, async (request, reply) => {
    await endSession(request, reply)
    return reply.code(204).send()
  })

  app.post('/auth/logout-all', { config: { isOpenToBlocked: true } }, async (request, reply) => {
    const account = requireAccount(request, reply)
    if (!account) return reply
    await endAllSessions(request, reply, account)
    return reply.code(204).send()
  })

  app.post(
    '/auth/password',
    { onRequest: app.limits.auth, schema: { body: PasswordBody } },
    async (request, reply) => {
      const account = requireAccount(request, reply)
      if (!account) return reply
      const { captchaId, answer, ...passwords } = request.body
      const check = captchaId && answer ? { captchaId, answer } : undefined
      const refusal = await changePassword(request, account, { ...passwords, check })
      return refusal ? refuse(reply, refusal) : reply.code(204).send()
    },
  )

  app.get('/me', { schema: { response: { 200: AccountAnswer } } }, async (request, reply) => {
    const account = requireAccount(request, reply)
    return account ?? reply
  })

  app.get('/me/sessions', { schema: { response: { 200: SessionListAnswer } } }, async (request, reply) => {
    const account = requireAccount(request, reply)
    if (!account) return reply
    const own = await sessions.listOf(account.userId, request.session.sessionId)
    reply.header('cache-control', 'no-store')
    return {
      sessions: own.map((session) => ({
        ...session,
        createdAt: new Date(session.createdAtMs).toISOString(),
        lastSeenAt: new Date(session.lastSeenAtMs).toISOString(),
      })),
    }
  })

  app.delete('/me/sessions/:sessionId', { schema: { params: SessionParams } }, async (request, reply) => {
    const account = requireAccount(request, reply)
    if (!account) return reply
    const hasEnded = await sessions.endOwn(account.userId, request.params.sessionId)
    return hasEnded ? reply.code(204).send() : refuse(reply, { code: 'not-found' })
  })
}

export default authRoutes
