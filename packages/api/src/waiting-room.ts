import type { IncomingMessage, ServerResponse } from 'node:http'

import type { LineFull } from '@blitzbuy/core/user/hash-line'

type Serve = (request: IncomingMessage, response: ServerResponse) => void

export interface WaitingRoom {
  /** Has it served in its turn, or as one that is refused. */
  enter(request: IncomingMessage, response: ServerResponse): void
  waitingCount(): number
  /** Somebody has left: is it the next one's turn? */
  callNext(): void
}

export interface Waiting {
  request: IncomingMessage
  response: ServerResponse
  sinceMs: number
}

export interface Doors {
  isOpen: () => boolean
  /** Undefined while one more may wait beside so many. */
  whenFull: (waitingCount: number, request: IncomingMessage) => LineFull | undefined
  serve: Serve
  refuse: (refused: Waiting, full: LineFull) => void
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
export function createWaitingRoom({ isOpen, whenFull, serve, refuse }: Doors): WaitingRoom {
  const waiting: Waiting[] = []
  const refused: [Waiting, LineFull][] = []

  const refuseSoon = (one: Waiting, full: LineFull): void => {
    if (refused.push([one, full]) === 1) setImmediate(refuseSome)
  }
  const refuseSome = (): void => {
    for (const [one, full] of refused.splice(0, REFUSALS_AT_ONCE)) refuse(one, full)
    if (refused.length > 0) setImmediate(refuseSome)
  }
  const callNext = (): void => {
    while (waiting.length > 0 && isOpen()) {
      const next = waiting.shift() as Waiting
      if (next.request.destroyed) continue
      if (performance.now() - next.sinceMs < WAIT_MAX_MS) serve(next.request, next.response)
      else refuseSoon(next, { kind: 'overloaded', retryAfterMs: WAIT_MAX_MS })
    }
  }
  const takePlace = (request: IncomingMessage, response: ServerResponse): void => {
    const one = { request, response, sinceMs: performance.now() }
    const full = whenFull(waiting.length, request)
    if (full) return refuseSoon(one, full)
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
    waitingCount: () => waiting.length,
    callNext,
  }
}
