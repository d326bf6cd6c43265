import type { IncomingMessage, ServerResponse } from 'node:http'

import type { LineFull } from '@blitzbuy/core/user/hash-line'

type Serve = (request: IncomingMessage, response: ServerResponse) => void

export interface WaitingRoom {
  /** Has it served in its turn, or as one that is refused. */
  enter(request: IncomingMessage, response: ServerResponse): void
  /** Why this one was not let wait, or undefined. */
  refusalOf(request: IncomingMessage): LineFull | undefined
  /** Somebody has left: is it the next one's turn? */
  callNext(): void
}

export interface Doors {
  isOpen: () => boolean
  /** Undefined while one more may wait beside so many. */
  whenFull: (waitingCount: number) => LineFull | undefined
  serve: Serve
}

/** Refusals in one turn of the event loop, before it looks after everybody else. */
const REFUSALS_AT_ONCE = 4
/** Who has waited for longer is refused: they have given up, or soon will. */
const WAIT_MAX_MS = 8_000

/**
 * Where requests wait before anything is done for them, in the order in which they were sent to their end.
 *
 * Before its body is there a request has no place: bodies that never come would keep the places of those that did.
 */
export function createWaitingRoom({ isOpen, whenFull, serve }: Doors): WaitingRoom {
  interface Waiting {
    request: IncomingMessage
    response: ServerResponse
    sinceMs: number
  }
  const waiting: Waiting[] = []
  const refused: Waiting[] = []
  const refusals = new WeakMap<IncomingMessage, LineFull>()

  const refuse = (one: Waiting, full: LineFull): void => {
    refusals.set(one.request, full)
    if (refused.push(one) === 1) setImmediate(serveRefused)
  }
  const serveRefused = (): void => {
    for (const { request, response } of refused.splice(0, REFUSALS_AT_ONCE)) serve(request, response)
    if (refused.length > 0) setImmediate(serveRefused)
  }
  const callNext = (): void => {
    while (waiting.length > 0 && isOpen()) {
      const next = waiting.shift() as Waiting
      if (next.request.destroyed) continue
      if (performance.now() - next.sinceMs < WAIT_MAX_MS) serve(next.request, next.response)
      else refuse(next, { kind: 'overloaded', retryAfterMs: WAIT_MAX_MS })
    }
  }
  const takePlace = (request: IncomingMessage, response: ServerResponse): void => {
    const one = { request, response, sinceMs: performance.now() }
    const full = whenFull(waiting.length)
    if (full) return refuse(one, full)
    waiting.push(one)
    callNext()
  }

  return {
    enter(request, response) {
      // A small body has come with the headers, and has been read when the parser is done with them.
      setImmediate(() => {
        if (request.complete) return takePlace(request, response)
        const look = (): void => {
          // Longer than may be: who serves it says so, without its place.
          const isTooLong = request.readableLength >= request.readableHighWaterMark
          if (!request.complete && !isTooLong) return
          request.off('readable', look)
          if (request.complete) takePlace(request, response)
          else serve(request, response)
        }
        request.on('readable', look)
      })
    },
    refusalOf: (request) => refusals.get(request),
    callNext,
  }
}
