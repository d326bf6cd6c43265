import type { IncomingMessage, Server, ServerResponse } from 'node:http'

import type { LineFull } from '@blitzbuy/core/user/hash-line'
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

/** Requests that are looked at in one turn of the event loop, before it looks after everybody else. */
const AT_ONCE = 4
/** A hundred bodies that never come would else hold up everybody's logins, for as long as a request may take. */
const BODY_WITHIN_MS = 1_000

/**
 * In a storm of logins most are sent away: that must cost next to nothing, neither a session nor a trip nor reading
 * what they sent. So it is the first hook of all that belongs to persons, and answers past the hooks of an answer.
 *
 * Thousands of connections can become readable in one moment. A purchase beside them would wait until the last one is
 * refused: so they are only parsed then, and looked at a few at a time. None of them has taken its place in the line
 * before the others are looked at: so whoever is let in counts.
 */
export default fp(
  async (app) => {
    const { hashLine } = app.core

    const paths = new Set<string>()
    app.addHook('onRoute', ({ url, config }) => {
      if (config?.hashesPassword) paths.add(url)
    })
    app.addHook('onReady', (done) => {
      takeAside(app.server, (url) => paths.has(url))
      done()
    })

    const refuse = (request: FastifyRequest, reply: FastifyReply, { retryAfterMs }: LineFull): void => {
      // Its deadline ends here: it must not be answered twice.
      app.endAnswerTime.call(app, request, reply, undefined, () => undefined)
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
      refuse(request, reply, full)
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

type OnRequest = (request: IncomingMessage, response: ServerResponse) => void

/** Requests of these paths wait in front of Fastify, which then sees a few of them in each turn. */
function takeAside(server: Server, isAside: (path: string) => boolean): void {
  const [handle] = server.listeners('request') as OnRequest[]
  if (!handle) throw new TypeError('the server has no listener for requests yet')
  const aside: [IncomingMessage, ServerResponse][] = []
  const handleSome = (): void => {
    for (const [request, response] of aside.splice(0, AT_ONCE)) handle.call(server, request, response)
    if (aside.length > 0) setImmediate(handleSome)
  }
  server.off('request', handle)
  server.on('request', (request, response) => {
    const url = request.url ?? ''
    const query = url.indexOf('?')
    if (!isAside(query < 0 ? url : url.slice(0, query))) return handle.call(server, request, response)
    aside.push([request, response])
    if (aside.length === 1) setImmediate(handleSome)
  })
}
