import type { IncomingHttpHeaders } from 'node:http'

import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'

import type { Language } from '../messages/language.ts'
import { findLanguage, preferredLanguage } from '../messages/languages.ts'

declare module 'fastify' {
  interface FastifyInstance {
    languageOf(headers: Pick<IncomingHttpHeaders, 'cookie' | 'accept-language'>): Language
    /** `?lang=` on any page is the switch: it is remembered and leads to the page itself. */
    switchLanguage: onRequestHookHandler
  }
  interface FastifyRequest {
    /** What this shopper has chosen by the switch, else what the browser would like. */
    readonly language: Language
  }
}

const COOKIE = 'blitz-lang'
/** Over https it has the prefix of a cookie of this host alone. */
const CHOSEN = /(?:^|;\s*)(?:__Host-)?blitz-lang=([\w-]+)/
const YEAR_SECONDS = 365 * 24 * 3600
const REMEMBERED_MAX = 1_000

/** The language of each answer: that of the switch, which a cookie remembers, else that of Accept-Language. */
export default fp<{ publicOrigin: string }>(
  async (app, { publicOrigin }) => {
    const remembered = new LRUCache<string, Language>({ max: REMEMBERED_MAX })
    const ofBrowser = (accepted = ''): Language => {
      let language = remembered.get(accepted)
      if (!language) remembered.set(accepted, (language = preferredLanguage(accepted)))
      return language
    }
    app.decorate('languageOf', ({ cookie, 'accept-language': accepted }) => {
      const chosen = cookie?.includes(COOKIE) ? CHOSEN.exec(cookie)?.[1] : undefined
      return findLanguage(chosen) ?? ofBrowser(accepted)
    })
    app.decorateRequest('language', {
      getter(this: FastifyRequest) {
        return app.languageOf(this.headers)
      },
    })

    app.decorate('switchLanguage', (request, reply, done) => {
      const [path = '', query] = request.url.split('?')
      const parameters = new URLSearchParams(query)
      const asked = parameters.get('lang')
      if (request.method !== 'GET' || asked === null) return done()
      parameters.delete('lang')
      const language = findLanguage(asked)
      if (language) {
        const content = `${COOKIE}=${language.tag}; Path=/; Max-Age=${YEAR_SECONDS}; SameSite=Lax`
        reply.header('set-cookie', publicOrigin.startsWith('https:') ? `__Host-${content}; Secure` : content)
      }
      const rest = parameters.toString()
      void reply.header('cache-control', 'no-store').redirect(rest ? `${path}?${rest}` : path, 303)
    })
  },
  { name: 'language' },
)
