import type { IncomingMessage, ServerResponse } from 'node:http'

import type { LineFull } from '@blitzbuy/core/user/hash-line'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

import type { RouteSeries } from '../api-metrics.ts'
import { createBusyAnswers, type BusyPage } from '../busy-answers.ts'
import type { Language } from '../messages/language.ts'
import { LANGUAGES } from '../messages/languages.ts'
import { toWire, type RawAnswer } from '../raw-answer.ts'
import { REFUSALS } from '../refusals.ts'
import { readRequestHead, wantsPage, type RequestHead } from '../request-head.ts'
import { createWaitingRoom } from '../waiting-room.ts'
import type { SecurityHeaders } from './security-headers.ts'

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

export interface HashLineOptions {
  headers: SecurityHeaders
  nextRequestId: () => string
}

/**
 * Of a storm of logins a few are worked on, so many wait, and the others are sent away, which must cost next to nothing:
 * neither a session nor a trip, and on a new connection not even a parsed request.
 *
 * They wait in front of Fastify. A login keeps the event loop as busy as dozens of purchases: a hundred of them, let in
 * together to wait for their hash in the middle, would hold up every purchase.
 */
export default fp<HashLineOptions>(
  async (app, { headers, nextRequestId }) => {
    const { hashLine } = app.core
    let letIn = 0

    const routes = new Map<string, RouteSeries | undefined>()
    app.addHook('onRoute', ({ url, config }) => {
      if (config?.hashesPassword) routes.set(url, config.series)
    })

    const busyPages = new Map<Language, BusyPage>()
    app.addHook('onReady', async () => {
      for (const language of LANGUAGES)
        busyPages.set(language, await makeBusyPage(app, language, nextRequestId()))
    })
    const busyAnswerOf = createBusyAnswers(headers, busyPages)
    const refusalOf = (request: RequestHead, { retryAfterMs }: LineFull, waitedMs = 0): RawAnswer => {
      const answer = busyAnswerOf({
        language: app.languageOf(request.headers),
        isForPage: wantsPage(request),
        requestId: nextRequestId(),
        retryAfterMs,
      })
      routes.get(pathOf(request.url))?.answered(answer.status, waitedMs / 1_000)
      return answer
    }

    const { server } = app
    const [serve] = server.listeners('request') as Serve[]
    if (!serve) throw new TypeError('the server has no listener for requests yet')
    const lineFull = (waitingCount: number): LineFull | undefined => hashLine.whenFull(waitingCount + letIn)
    const room = createWaitingRoom({
      isOpen: () => letIn < hashLine.atOnce + LET_IN_BESIDE,
      whenFull(waitingCount, request) {
        const retryAfterMs = app.givesUp(request, 'login')
        return retryAfterMs === undefined ? lineFull(waitingCount) : { kind: 'overloaded', retryAfterMs }
      },
      serve: (request, response) => serve.call(server, request, response),
      refuse({ request, response, sinceMs }, full) {
        const { status, headers: answered, body } = refusalOf(request, full, performance.now() - sinceMs)
        // Who comes again is accepted first, one connection in each turn: thousands cannot all ask at once again.
        const last = { connection: 'close', 'content-length': Buffer.byteLength(body) }
        response.writeHead(status, { ...answered, ...last }).end(body)
      },
    })
    const waits = ({ method, url }: RequestHead): boolean => method === 'POST' && routes.has(pathOf(url))
    server.off('request', serve)
    server.on('request', (request, response) => {
      if (waits(request)) room.enter(request, response)
      else serve.call(server, request, response)
    })
    app.turnAway((readFirstBytes) => {
      const full = lineFull(room.waitingCount())
      const head = full && readRequestHead(readFirstBytes())
      return head && waits(head) ? toWire(refusalOf(head, full)) : undefined
    })

    app.decorateRequest('isLetIn', false)
    app.addHook('onRequest', (request, _reply, done) => {
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
  {
    name: 'hash-line',
    dependencies: ['connection-line', 'load-shedding', 'core', 'metrics', 'language', 'views'],
  },
)

/** As the router reads it: who writes a letter as `%6c` waits like everybody else. */
function pathOf(url = ''): string {
  const query = url.indexOf('?')
  const path = query < 0 ? url : url.slice(0, query)
  if (!path.includes('%')) return path
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}

async function makeBusyPage(app: FastifyInstance, language: Language, requestId: string): Promise<BusyPage> {
  const html = await app.renderForAnybody(language, 'error', {
    title: language.text('busy.title'),
    status: REFUSALS.overloaded.status,
    advice: 'busy.advice',
    requestId,
    switchPath: '/',
  })
  const [before = '', behind = ''] = html.split(requestId)
  return [before, behind]
}
