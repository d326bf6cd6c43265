import fastifyCookie, { Signer } from '@fastify/cookie'
import fastifySession, { type SessionStore } from '@fastify/session'
import { StoreAway } from '@blitzbuy/core/errors'
import type { Account } from '@blitzbuy/core/user/accounts'
import { describeBrowser } from '@blitzbuy/core/user/describe-browser'
import type { SessionContent, SessionLimits, Sessions } from '@blitzbuy/core/user/sessions'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

import { refuse } from '../refusals.ts'

declare module 'fastify' {
  interface Session {
    account?: Account
    createdAtMs?: number
    device?: string
    /** Redis did not say whose session it is: whoever needs to know gets 503, all others go on as nobody. */
    away?: StoreAway
  }
  interface FastifyInstance {
    sessionCookieName: string
  }
  interface FastifyReply {
    /** Has the browser drop the cookie of a session that is over, and what it keeps of the pages. */
    forgetSession(): void
  }
}

export interface SessionOptions {
  secrets: string[]
  publicOrigin: string
}

/** `__Host-` binds the cookie to this host over https; over plain http a browser would drop such a cookie. */
export function sessionCookieName(publicOrigin: string): string {
  return publicOrigin.startsWith('https:') ? '__Host-blitz' : 'blitz'
}

/** Longer than any id that was ever signed: a long cookie is not worth an HMAC. */
const COOKIE_LENGTH_MAX = 256

/**
 * The session that a Cookie header names, or undefined: the one reading of it, for the plugin and for the purchase
 * route alike, so that no cookie can be somebody to one of them and nobody to the other.
 *
 * Of several cookies with the name the first one counts, as browsers send the most specific one first.
 */
export function createReadSessionId({ secrets, publicOrigin }: SessionOptions) {
  const signer = new Signer(secrets)
  const name = sessionCookieName(publicOrigin)

  return (header: string | undefined): { sessionId: string; isOldSecret: boolean } | undefined => {
    const cookie = cookieValue(header, name)
    if (cookie === undefined || cookie.length > COOKIE_LENGTH_MAX) return undefined
    const { valid, value, renew } = signer.unsign(cookie)
    return valid && value ? { sessionId: value, isOldSecret: renew } : undefined
  }
}

/** Sessions for pages and ordinary routes; the purchase route reads the same cookie and store by `createReadBuyer`. */
export default fp<SessionOptions & { limits: SessionLimits }>(
  async (app, { secrets, publicOrigin, limits }) => {
    const name = sessionCookieName(publicOrigin)
    const signer = new Signer(secrets)
    const readSessionId = createReadSessionId({ secrets, publicOrigin })
    const isHttps = publicOrigin.startsWith('https:')
    const cookie = {
      path: '/',
      httpOnly: true,
      sameSite: 'lax',
      // Not `true`: then the plugin would send no cookie unless this very connection is TLS, and behind a proxy that
      // ends TLS nobody could log in. Anything else that is true makes the same Secure cookie.
      secure: (isHttps ? 1 : false) as boolean,
      maxAge: limits.absoluteSeconds * 1000,
    } as const

    app.decorate('sessionCookieName', name)
    await app.register(fastifyCookie, { secret: secrets })
    app.addHook('onRequest', (request, reply, done) => {
      const read = readSessionId(request.headers.cookie)
      delete request.cookies[name]
      if (read) {
        // Signed anew: the plugin takes a cookie of an older secret for another session's, and clears it.
        const signed = signer.sign(read.sessionId)
        request.cookies[name] = signed
        if (read.isOldSecret) {
          reply.setCookie(name, signed, { ...cookie, maxAge: limits.absoluteSeconds, secure: isHttps })
        }
      }
      done()
    })
    await app.register(fastifySession, {
      secret: signer,
      cookieName: name,
      cookie,
      store: sessionStore(app.core.sessions),
      // Both default to true: every visitor would get a key in Redis, and every request would write it again.
      saveUninitialized: false,
      rolling: false,
    })
    app.decorateReply('forgetSession', function forgetSession(this: FastifyReply) {
      // Not "cookies": the device cookie stays, or whoever logs out could be kept out by guesses of others.
      this.header('clear-site-data', '"cache", "storage"')
      this.clearCookie(name, { path: '/', httpOnly: true, sameSite: 'lax', secure: isHttps })
    })
  },
  { name: 'session', dependencies: ['core'] },
)

/** The account of this request, or undefined for a visitor. @throws StoreAway when Redis did not say. */
export function accountOf({ session }: FastifyRequest): Account | undefined {
  if (session.away) throw session.away
  return session.account
}

/** The account of this request, or a refusal that has been sent. */
export function requireAccount(request: FastifyRequest, reply: FastifyReply): Account | undefined {
  const account = accountOf(request)
  if (!account) refuse(reply, { code: 'login-required' })
  return account
}

/** A new session id at every login, so that one that was planted before is worth nothing after. */
export async function beginSession(
  request: FastifyRequest,
  account: Account,
  /** Of the login, when it goes on under a new id. */
  createdAtMs: number = Date.now(),
): Promise<void> {
  // The id of a visitor was made for this very request: no store has ever heard of it.
  if (accountOf(request)) await request.session.regenerate()
  request.session.account = account
  request.session.createdAtMs = createdAtMs
  request.session.device = describeBrowser(request.headers['user-agent'])
  await request.session.save()
  // Else the plugin would clear the cookie that came before it sets the new one.
  request.cookies[request.server.sessionCookieName] = request.session.encryptedSessionId
}

/** Ends this session here and on every instance. */
export async function endSession(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (accountOf(request)) await request.session.destroy()
  reply.forgetSession()
}

/** Who sent this request, read without the session plugin: 30 µs instead of 75, and no hook on the hot route. */
export function createReadBuyer(sessions: Sessions, options: SessionOptions) {
  const readSessionId = createReadSessionId(options)

  return async (request: FastifyRequest): Promise<Account | undefined> => {
    const read = readSessionId(request.headers.cookie)
    if (!read) return undefined
    const session = sessions.peek(read.sessionId) ?? (await sessions.read(read.sessionId))
    return session?.account
  }
}

function cookieValue(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=')
    if (equals === -1 || pair.slice(0, equals).trim() !== name) continue
    try {
      return decodeURIComponent(pair.slice(equals + 1).trim())
    } catch {
      return undefined
    }
  }
  return undefined
}

function sessionStore(sessions: Sessions): SessionStore {
  return {
    get(sessionId, done) {
      sessions.read(sessionId).then(
        (session) => done(null, session ? JSON.parse(session.content) : null),
        // A session of nobody under the same id: with an error no page at all would come, with no session the plugin
        // would clear the cookie, and everybody would be logged out by a minute without Redis.
        (error: unknown) =>
          error instanceof StoreAway ? done(null, { cookie: {}, away: error } as never) : done(error),
      )
    },
    set(sessionId, session, done) {
      sessions.write(sessionId, session as unknown as SessionContent).then(() => done(), done)
    },
    destroy(sessionId, done) {
      sessions.end(sessionId).then(() => done(), done)
    },
  }
}
