import type { FastifyReply } from 'fastify'
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
  }
}

/** In one turn of the event loop, before it looks after everybody else. */
const REFUSED_AT_ONCE = 4

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
    let letIn = 0
    app.addHook('onRequest', (request, reply, done) => {
      if (!request.routeOptions.config.hashesPassword) return done()
      const full = hashLine.whenFull(letIn)
      if (!full) {
        letIn += 1
        request.isLetIn = true
        return done()
      }
      // It is answered in time, and must not be answered twice.
      app.endAnswerTime.call(app, request, reply, undefined, () => undefined)
      aside.push({ reply, retryAfterMs: full.retryAfterMs })
      if (aside.length === 1) setImmediate(refuseSome)
    })
    app.addHook('onSend', (request, _reply, _payload, done) => {
      if (request.isLetIn) letIn -= 1
      request.isLetIn = false
      done()
    })
  },
  { name: 'hash-line', dependencies: ['core', 'metrics', 'answer-within'] },
)
