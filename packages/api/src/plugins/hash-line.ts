import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

import { problemOf } from '../refusals.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route hashes a password. It is refused while too many wait for that. */
    hashesPassword?: boolean
  }
  interface FastifyRequest {
    /** It may hash a password, and is not answered yet. */
    isLetIn: boolean
    bodyTimer: NodeJS.Timeout | undefined
  }
}

/** In one turn of the event loop, before it looks after everybody else. */
const REFUSED_AT_ONCE = 4
/** A hundred bodies that never come would else hold up everybody's logins, for as long as a request may take. */
const BODY_WITHIN_MS = 1_000

interface Refused {
  reply: FastifyReply
  retryAfterMs: number
}

/**
 * In a storm of logins most are sent away: that must cost next to nothing, neither a session nor a trip nor reading
 * what they sent. So it is the first hook of all that belongs to persons, and answers past the hooks of an answer.
 *
 * Thousands of connections can become readable in one moment, before any of them has taken its place: so whoever is
 * let in counts. And a purchase beside them would wait until the last one is refused: so they are put aside, and
 * refused a few at a time.
 */
export default fp(
  async (app) => {
    const { hashLine } = app.core
    const aside: Refused[] = []

    const refuseSome = (): void => {
      for (const refused of aside.splice(0, REFUSED_AT_ONCE)) refuse(refused)
      if (aside.length > 0) setImmediate(refuseSome)
    }

    const refuse = ({ reply, retryAfterMs }: Refused): void => {
      const { request } = reply
      const { status, body } = problemOf(
        { code: 'overloaded', retryAfterMs },
        request.id,
        request.language.problems.overloaded,
      )
      reply.refusalCode = 'overloaded'
      app.countAnswer(request, status)
      reply.hijack()
      reply.raw
        .writeHead(status, {
          ...(reply.getHeaders() as Record<string, string>),
          'cache-control': 'no-store',
          'content-type': 'application/problem+json',
          'content-length': String(Buffer.byteLength(body)),
          'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1_000))),
          // Who comes again is accepted first, one connection in each turn: thousands cannot all ask at once again.
          connection: 'close',
        })
        .end(body)
    }

    app.decorateRequest('isLetIn', false)
    app.decorateRequest('bodyTimer', undefined)
    let letIn = 0
    const letOut = (request: FastifyRequest): void => {
      clearTimeout(request.bodyTimer)
      if (request.isLetIn) letIn -= 1
      request.isLetIn = false
    }
    app.addHook('onRequest', (request, reply, done) => {
      if (!request.routeOptions.config.hashesPassword) return done()
      const full = hashLine.whenFull(letIn)
      if (!full) {
        letIn += 1
        request.isLetIn = true
        request.bodyTimer = setTimeout(letOut, BODY_WITHIN_MS, request)
        return done()
      }
      // It is answered in time, and must not be answered twice.
      app.endAnswerTime.call(app, request, reply, undefined, () => undefined)
      aside.push({ reply, retryAfterMs: full.retryAfterMs })
      if (aside.length === 1) setImmediate(refuseSome)
    })
    // The body is there. One that comes late goes on without its place, and may find the line full.
    app.addHook('preValidation', (request, _reply, done) => {
      clearTimeout(request.bodyTimer)
      done()
    })
    app.addHook('onSend', (request, _reply, _payload, done) => {
      letOut(request)
      done()
    })
  },
  { name: 'hash-line', dependencies: ['core', 'metrics', 'answer-within'] },
)
