import type { Socket } from 'node:net'

import type { FastifyReply, FastifyRequest } from 'fastify'

import type { SecurityHeaders } from './plugins/security-headers.ts'
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
  const lines = Object.entries({
    ...headers,
    'cache-control': 'no-store',
    connection: 'close',
    'content-type': 'application/problem+json',
  }).map(([name, value]) => `${name}: ${value}\r\n`)

  return (error: ConnectionFault, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed) return
    if (socket.writable) {
      const { status, body } = problemOf({ code: codeOf(error) })
      const length = `content-length: ${Buffer.byteLength(body)}\r\n`
      socket.write(
        `HTTP/1.1 ${status} ${REASONS[status] ?? 'Refused'}\r\n${lines.join('')}${length}\r\n${body}`,
      )
    }
    socket.destroy()
  }
}

const REASONS: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
}

function codeOf({ code }: ConnectionFault): RefusalCode {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request-timeout'
  return code === 'HPE_HEADER_OVERFLOW' ? 'headers-too-large' : 'request-invalid'
}
