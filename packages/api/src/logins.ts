import type { Account } from '@blitzbuy/core/user/accounts'
import { loginBinding, type HumanCheckAnswer, type LoginRequest } from '@blitzbuy/core/user/log-in'
import type { CaptchaKind, IssueCaptchaOutcome } from '@blitzbuy/core/gate/captchas'
import type { FastifyReply, FastifyRequest } from 'fastify'

import { beginSession } from './plugins/session.ts'
import type { Refusal } from './refusals.ts'

export type LoginAnswer = { kind: 'logged_in'; account: Account } | { kind: 'refused'; refusal: Refusal }

type LoginCredentials = Pick<LoginRequest, 'phone' | 'region' | 'password' | 'check'>

/**
 * Logging in, for the JSON route and for the form: what they differ in is how they say it.
 *
 * Each is a line of the log, by which an account that was taken over can be traced. Not the number: whoever mistypes
 * their password for it would leave it there.
 */
export async function logIn(request: FastifyRequest, credentials: LoginCredentials): Promise<LoginAnswer> {
  const answer = await tryLogIn(request, credentials)
  if (answer.kind === 'logged_in') request.log.info({ userId: answer.account.userId }, 'logged in')
  else request.log.info({ code: answer.refusal.code, address: request.ip }, 'login refused')
  return answer
}

async function tryLogIn(request: FastifyRequest, credentials: LoginCredentials): Promise<LoginAnswer> {
  const app = request.server
  const outcome = await app.core.logIn({
    ...credentials,
    ...whereFrom(request),
  })
  switch (outcome.kind) {
    case 'credentials_invalid':
      return { kind: 'refused', refusal: { code: 'credentials-invalid' } }
    case 'captcha_required':
      return { kind: 'refused', refusal: { code: 'captcha-required' } }
    case 'captcha_incorrect':
      return { kind: 'refused', refusal: { code: 'captcha-incorrect' } }
    case 'captcha_expired':
      return { kind: 'refused', refusal: { code: 'captcha-expired' } }
    case 'overloaded':
      return { kind: 'refused', refusal: { code: 'overloaded', retryAfterMs: outcome.retryAfterMs } }
    case 'logged_in': {
      if (app.core.blacklist.findUser(outcome.account.userId)) {
        return { kind: 'refused', refusal: { code: 'blocked' } }
      }
      await beginSession(request, outcome.account)
      if (!(await outcome.isStillValid())) {
        await request.session.destroy()
        return { kind: 'refused', refusal: { code: 'credentials-invalid' } }
      }
      // Once more: sessions are ended when the entry is heard, and this one may not have been there yet.
      if (app.core.blacklist.findUser(outcome.account.userId)) {
        await request.session.destroy()
        return { kind: 'refused', refusal: { code: 'blocked' } }
      }
      app.rememberDevice(request, outcome.accountKey)
      return { kind: 'logged_in', account: outcome.account }
    }
  }
}

/** Refusals after which the form is shown with a picture. */
export function needsCheck({ code }: Refusal): boolean {
  return code === 'captcha-required' || code === 'captcha-incorrect' || code === 'captcha-expired'
}

/** A challenge for logging in or changing the password, good for requests from where this one came from. */
export function challengeLogin(request: FastifyRequest, kind: CaptchaKind): Promise<IssueCaptchaOutcome> {
  const binding = loginBinding(whereFrom(request))
  return request.server.core.captchas.issue({ of: 'login', binding }, kind)
}

function whereFrom(request: FastifyRequest): Pick<LoginRequest, 'address' | 'device'> {
  return { address: request.ip, device: request.server.readDevice(request) }
}

/** Changes the password; all other sessions end, and this one goes on under a new id. */
export async function changePassword(
  request: FastifyRequest,
  account: Account,
  change: { old: string; new: string; check?: HumanCheckAnswer | undefined },
): Promise<Refusal | undefined> {
  const outcome = await request.server.core.changePassword({
    ...change,
    ...whereFrom(request),
    userId: account.userId,
    keep: request.session.sessionId,
  })
  switch (outcome.kind) {
    case 'password_weak':
      return { code: 'password-weak' }
    case 'password_incorrect':
      return { code: 'password-incorrect' }
    case 'captcha_required':
      return { code: 'captcha-required' }
    case 'captcha_incorrect':
      return { code: 'captcha-incorrect' }
    case 'captcha_expired':
      return { code: 'captcha-expired' }
    case 'overloaded':
      return { code: 'overloaded', retryAfterMs: outcome.retryAfterMs }
    case 'changed':
      request.log.info({ userId: account.userId }, 'password changed')
      await beginSession(request, account)
      // As in logIn.
      if (!request.server.core.blacklist.findUser(account.userId)) return undefined
      await request.session.destroy()
      return { code: 'blocked' }
  }
}

export async function endAllSessions(
  request: FastifyRequest,
  reply: FastifyReply,
  account: Account,
): Promise<void> {
  const { sessions } = request.server.core
  // This one by its own id too: the index would not name it if Redis had lost the index.
  await sessions.endAllOf(account.userId)
  await request.session.destroy()
  reply.forgetSession()
}
