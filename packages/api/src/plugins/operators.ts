import type { Operator } from '@blitzbuy/core/user/operators'
import type { FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import fp from 'fastify-plugin'

import { refuse } from '../refusals.ts'
import { nextPath } from '../routes/pages/require-login.ts'
import { accountOf, beginSession } from './session.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** An operator may call it before the second factor: it is how they show it. */
    isBeforeSecondFactor?: boolean
  }
  interface FastifyRequest {
    /** Behind `admitOperator`: who is at work. */
    operator: Operator | undefined
  }
  interface FastifyInstance {
    /** The first hook of everything under /admin, pages and JSON. */
    admitOperator: onRequestAsyncHookHandler
    /** After a right code: a new session id, which may do everything from now on. */
    beginOperatorSession(request: FastifyRequest): Promise<void>
  }
}

export const SECOND_FACTOR_PAGE = '/admin/second-factor'

/**
 * Who may work on sales: an operator who has logged in not too long ago and shown a second factor.
 *
 * For everybody else the pages do not exist. The role is read from MySQL each time, so that whoever loses it is out
 * at once; a session alone, of a stolen cookie or a known password, opens nothing.
 */
export default fp(
  async (app) => {
    const { operators } = app.core
    app.decorateRequest('operator', undefined)

    app.decorate('admitOperator', async (request, reply) => {
      const account = accountOf(request)
      if (!account) return toLogin(request, reply)
      // Said by the session first: a shopper's curiosity costs MySQL nothing.
      const operator = account.role === 'operator' ? await operators.find(account.userId) : undefined
      if (!operator) return app.limits.notFound(request, reply) ? refuse(reply, { code: 'not-found' }) : reply
      const loggedInForMs = Date.now() - (request.session.createdAtMs ?? 0)
      if (loggedInForMs > operators.limits.absoluteSeconds * 1000) {
        await request.session.destroy()
        return toLogin(request, reply)
      }
      request.operator = operator
      if (request.routeOptions.config.isBeforeSecondFactor) return
      const since = await operators.marks.use(request.session.sessionId, operator.userId)
      if (since === undefined) return toSecondFactor(request, reply)
    })

    app.decorate('beginOperatorSession', async (request) => {
      const account = accountOf(request)
      if (!account) throw new Error('an operator without a session')
      await beginSession(request, account, request.session.createdAtMs)
      await operators.marks.set(request.session.sessionId, account.userId)
    })
  },
  { name: 'operators', dependencies: ['session', 'limits', 'core'] },
)

/** Behind `admitOperator` there always is one. */
export function operatorOf(request: FastifyRequest): Operator {
  if (!request.operator) throw new Error('a route of operators without its guard')
  return request.operator
}

export function actorOf(request: FastifyRequest): { userId: number } {
  return { userId: operatorOf(request).userId }
}

function isApi(request: FastifyRequest): boolean {
  return request.url.startsWith('/api/')
}

function toLogin(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (isApi(request)) return refuse(reply, { code: 'login-required' })
  return reply.redirect(`/login?next=${encodeURIComponent(pathOf(request))}`, 303)
}

function toSecondFactor(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (isApi(request)) return refuse(reply, { code: 'second-factor-required' })
  return reply.redirect(`${SECOND_FACTOR_PAGE}?next=${encodeURIComponent(pathOf(request))}`, 303)
}

/** Where to come back to. A form that was posted is not: its page is. */
function pathOf(request: FastifyRequest): string {
  if (request.method !== 'GET') return '/admin'
  const path = nextPath(request.url.split('?', 1)[0])
  return path === '/' ? '/admin' : path
}
