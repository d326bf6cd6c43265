import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  onRequestHookHandler,
  onSendHookHandler,
} from 'fastify'
import fp from 'fastify-plugin'

import { RETRY_SOON_MS, refuse } from '../refusals.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** For one route: from the first call on the request is answered in time, and with the hook `onSend` it is. */
    beginAnswerTime(request: FastifyRequest, reply: FastifyReply): void
    endAnswerTime: onSendHookHandler
    /** All routes of the context it is called in are answered in time. A route that has the hook must be outside. */
    answerAllInTime(): void
  }
  interface FastifyRequest {
    answerTimer: NodeJS.Timeout | undefined
    answerBeganAtMs: number
  }
}

/** They wait in the line of hashes, or do an operator's work on many rows. */
const TAKES_LONG = /\/(?:login|register|password)$|\/admin(?:\/|$)/
const LONG = 5

/**
 * One deadline for the whole of a request: each store has one of its own, but several that are slow one after the
 * other would add up.
 *
 * Fastify's `handlerTimeout` would count the time that a slow connection takes to send a body, and makes an
 * AbortController for every request.
 */
export default fp<{ answerWithinMs: number }>(
  async (app, { answerWithinMs }) => {
    app.decorateRequest('answerTimer', undefined)
    app.decorateRequest('answerBeganAtMs', 0)

    const allowedMs = ({ routeOptions: { url = '' } }: FastifyRequest): number =>
      TAKES_LONG.test(url) ? answerWithinMs * LONG : answerWithinMs

    const begin: onRequestHookHandler = (request, reply, done) => {
      request.answerBeganAtMs = performance.now()
      request.answerTimer = setTimeout(tellLate, allowedMs(request), request, reply)
      done()
    }
    const beginOfRoute = (request: FastifyRequest, reply: FastifyReply): void => {
      request.answerTimer ??= setTimeout(tellLate, answerWithinMs, request, reply)
    }
    const end: onSendHookHandler = (request, _reply, _payload, done) => {
      clearTimeout(request.answerTimer)
      request.answerTimer = undefined
      done()
    }
    app.decorate('beginAnswerTime', beginOfRoute)
    app.decorate('endAnswerTime', end)
    app.decorate('answerAllInTime', function answerAllInTime(this: FastifyInstance) {
      this.addHook('onRequest', begin)
      // How long a body takes to arrive is the client's affair, see REQUEST_TIMEOUT_MS.
      this.addHook('preParsing', (request, _reply, payload, done) => {
        if (!isRead(request) && request.answerTimer) {
          clearTimeout(request.answerTimer)
          request.answerBeganAtMs -= performance.now()
        }
        done(null, payload)
      })
      this.addHook('preValidation', (request, reply, done) => {
        if (!isRead(request) && request.answerTimer) {
          const spentMs = -request.answerBeganAtMs
          request.answerTimer = setTimeout(
            tellLate,
            Math.max(1, allowedMs(request) - spentMs),
            request,
            reply,
          )
        }
        done()
      })
      this.addHook('onSend', end)
    })
  },
  { name: 'answer-within' },
)

function tellLate(request: FastifyRequest, reply: FastifyReply): void {
  if (reply.sent || reply.raw.headersSent) return
  const code = isRead(request) ? 'dependency-unavailable' : 'outcome-unknown'
  request.log.warn({ code }, 'not answered in time')
  refuse(reply, { code, retryAfterMs: RETRY_SOON_MS })
  // The handler goes on. What it still says has no reader, and a second answer would end the process.
  reply.send = () => reply
  reply.log = request.log.child({}, { level: 'silent' })
}

function isRead({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}
