import fastifyCookie, { Signer } from '@fastify/cookie'
import fastifySession, { type SessionStore } from '@fastify/session'
import { StoreAway } from '@blitzbuy/core/errors'
import { createRecentMap } from '@blitzbuy/core/recent-map'
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
/** As many as there are local copies of sessions; about 300 bytes each. */
const VERIFIED_MAX = 100_000

/** What a signed cookie says; not whether that session lives. */
interface SessionId {
  sessionId: string
  isOldSecret: boolean
}

export type ReadSessionId = (header: string | undefined) => SessionId | undefined

/**
 * The session that a Cookie header names, or undefined: the one reading of it, for the plugin and for the purchase
 * route alike, so that no cookie can be somebody to one of them and nobody to the other.
 *
 * Of several cookies with the name the first one counts, as browsers send the most specific one first. A signature is
 * checked once: what a cookie says never changes, and only those that proved to be ours are remembered.
 */
export function createReadSessionId({ secrets, publicOrigin }: SessionOptions): ReadSessionId {
  const signer = new Signer(secrets)
  const name = sessionCookieName(publicOrigin)
  const verified = createRecentMap<string, SessionId>(VERIFIED_MAX)

  return (header) => {
    const encoded = cookieValue(header, name)
    if (encoded === undefined || encoded.length > COOKIE_LENGTH_MAX) return undefined
    const known = verified.get(encoded)
    if (known) return known
    const { valid, value, renew } = signer.unsign(decode(encoded))
    if (!valid || !value) return undefined
    const read = { sessionId: value, isOldSecret: renew }
    verified.set(encoded, read)
    return read
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

/**
 * Who sent this request, read without the session plugin and its hook. From the local copy there is no promise to
 * wait for: at an opening most buyers have just been here.
 */
export function createReadBuyer(sessions: Sessions, options: SessionOptions) {
  const readSessionId = createReadSessionId(options)

  return (request: FastifyRequest): Account | undefined | Promise<Account | undefined> => {
    const read = readSessionId(request.headers.cookie)
    if (!read) return undefined
    const local = sessions.peek(read.sessionId)
    return local ? local.account : sessions.read(read.sessionId).then((session) => session?.account)
  }
}

/** The value as it was sent. */
function cookieValue(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=')
    if (equals !== -1 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim()
  }
  return undefined
}

function decode(encoded: string): string {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return ''
  }
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
