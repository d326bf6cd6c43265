import type { Socket } from 'node:net'

import type { FastifyReply, FastifyRequest } from 'fastify'

import type { SecurityHeaders } from './plugins/security-headers.ts'
import { toWire } from './raw-answer.ts'
import { problemOf, refuse, type RefusalCode } from './refusals.ts'

/** A path that cannot be decoded, or whose parameter is longer than any of ours, leads nowhere. */
export function createAnswerBadPath(headers: SecurityHeaders) {
  // No hook runs for such a request: it has no route.
  return (_error: unknown, _request: FastifyRequest, reply: FastifyReply): void =>
    void refuse(reply.headers(headers), { code: 'not-found' })
}

interface ConnectionFault {
  code: string
}

/**
 * The last words to a connection that did not send a request: something that is no HTTP, headers without end, or a
 * body that stopped. Then it is closed.
 */
export function createEndConnection(headers: SecurityHeaders) {
  const ofProblem = { ...headers, 'cache-control': 'no-store', 'content-type': 'application/problem+json' }

  return (error: ConnectionFault, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed) return
    if (socket.writable) {
      socket.write(toWire({ ...problemOf({ code: codeOf(error) }), headers: ofProblem }))
    }
    socket.destroy()
  }
}

function codeOf({ code }: ConnectionFault): RefusalCode {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request-timeout'
  return code === 'HPE_HEADER_OVERFLOW' ? 'headers-too-large' : 'request-invalid'
}
