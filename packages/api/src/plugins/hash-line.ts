import type { IncomingMessage, ServerResponse } from 'node:http'

import type { LineFull } from '@blitzbuy/core/user/hash-line'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

import { problemOf } from '../refusals.ts'
import { createWaitingRoom } from '../waiting-room.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route hashes a password. It waits for its turn, and is refused while too many wait. */
    hashesPassword?: boolean
  }
  interface FastifyRequest {
    /** It may hash a password, and is not answered yet. */
    isLetIn: boolean
  }
}

type Serve = (request: IncomingMessage, response: ServerResponse) => void

/** Beside those that hash: what a login does before and after goes on while another one hashes. */
const LET_IN_BESIDE = 1

/**
 * Of a storm of logins a few are worked on, so many wait, and the others are sent away, which must cost next to nothing:
 * neither a session nor a trip.
 *
 * They wait in front of Fastify. A login keeps the event loop as busy as dozens of purchases: a hundred of them, let in
 * together to wait for their hash in the middle, would hold up every purchase.
 */
export default fp(
  async (app) => {
    const { hashLine } = app.core
    let letIn = 0

    const paths = new Set<string>()
    app.addHook('onRoute', ({ url, config }) => {
      if (config?.hashesPassword) paths.add(url)
    })
    const { server } = app
    const [serve] = server.listeners('request') as Serve[]
    if (!serve) throw new TypeError('the server has no listener for requests yet')
    const room = createWaitingRoom({
      isOpen: () => letIn < hashLine.atOnce + LET_IN_BESIDE,
      whenFull: (waitingCount) => hashLine.whenFull(waitingCount + letIn),
      serve: (request, response) => serve.call(server, request, response),
    })
    server.off('request', serve)
    server.on('request', (request, response) => {
      if (request.method === 'POST' && paths.has(pathOf(request))) room.enter(request, response)
      else serve.call(server, request, response)
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
    app.addHook('onRequest', (request, reply, done) => {
      const full = room.refusalOf(request.raw)
      if (full) return refuse(request, reply, full)
      // One whose body never comes would keep the room closed.
      request.isLetIn = Boolean(request.routeOptions.config.hashesPassword) && request.raw.complete
      if (request.isLetIn) letIn += 1
      done()
    })
    app.addHook('onSend', (request, _reply, _payload, done) => {
      if (request.isLetIn) {
        request.isLetIn = false
        letIn -= 1
        setImmediate(() => room.callNext())
      }
      done()
    })
  },
  { name: 'hash-line', dependencies: ['core', 'metrics', 'answer-within'] },
)

/** As the router reads it: who writes a letter as `%6c` waits like everybody else. */
function pathOf({ url = '' }: IncomingMessage): string {
  const query = url.indexOf('?')
  const path = query < 0 ? url : url.slice(0, query)
  if (!path.includes('%')) return path
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
