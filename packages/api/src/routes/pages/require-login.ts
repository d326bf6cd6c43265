import type { Account } from '@blitzbuy/core/user/accounts'
import type { FastifyReply, FastifyRequest } from 'fastify'

import { accountOf } from '../../plugins/session.ts'

/** The only places a login may lead to. A pattern of our own paths: nothing in it can name another site. */
const OWN_PATHS =
  /^\/(?:sales\/[1-9]\d{0,9}|orders(?:\/[0-9A-Z]{26})?|account\/sessions|admin(?:\/[\w-]+)*)?$/

/** Where to go after logging in: a path of ours, or the front page. */
export function nextPath(asked: unknown): string {
  return typeof asked === 'string' && OWN_PATHS.test(asked) ? asked : '/'
}

/** The account of this request, or undefined when the shopper was sent to the login page, to come back to `next`. */
export function requireLogin(
  request: FastifyRequest,
  reply: FastifyReply,
  next: string,
): Account | undefined {
  const account = accountOf(request)
  if (!account) void reply.redirect(`/login?next=${encodeURIComponent(nextPath(next))}`, 303)
  return account
}
