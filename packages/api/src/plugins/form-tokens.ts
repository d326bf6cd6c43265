import csrfProtection from '@fastify/csrf-protection'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

import { readField } from '../routes/pages/form-fields.ts'
import { sessionCookieName, type SessionOptions } from './session.ts'

export type FormTokenOptions = SessionOptions

declare module 'fastify' {
  interface FastifyReply {
    /** The hidden field of a form. Sets the cookie that belongs to it, if this browser has none yet. */
    formToken(): string
  }
  interface FastifyContextConfig {
    /** The handler does nothing for whoever is not logged in but lead to the login. */
    needsLogin?: boolean
  }
}

/**
 * Every form that is posted must have come from a page of ours, shown to the same browser and the same session.
 *
 * The token's secret lies in a signed cookie, so that the login page makes no key in Redis; the token itself is
 * bound to the session, so that one which an attacker got for himself fits nobody else's forms.
 */
export default fp<FormTokenOptions>(
  async (app, { secrets, publicOrigin }) => {
    await app.register(csrfProtection, {
      sessionPlugin: '@fastify/cookie',
      cookieKey: `${sessionCookieName(publicOrigin)}-form`,
      cookieOpts: {
        path: '/',
        httpOnly: true,
        // Not strict: on the way in from another site the browser would hide the cookie, and every open tab's forms
        // would be void after the new one.
        sameSite: 'lax',
        secure: publicOrigin.startsWith('https:'),
        signed: true,
      },
      csrfOpts: { hmacKey: secrets[0] as string },
      getToken: (request: FastifyRequest) => readField(request.body, 'formToken'),
      getUserInfo: sessionOf,
      logLevel: 'debug',
    })

    app.decorateReply('formToken', function formToken() {
      return this.generateCsrf({ userInfo: sessionOf(this.request) })
    })

    // The body, and with it the token, is not there any earlier.
    app.addHook('preHandler', (request, reply, done) => {
      if (request.method !== 'POST') return done()
      // Whose session has ended meanwhile is led to the login rather than told about a token.
      const leadsToLogin = request.routeOptions.config.needsLogin && !request.session.account
      if (leadsToLogin) return done()
      app.csrfProtection(request, reply, done)
    })
  },
  { name: 'form-tokens', dependencies: ['session'] },
)

function sessionOf({ session }: FastifyRequest): string {
  return session.account ? session.sessionId : 'nobody'
}
