import type { Logger } from '@blitzbuy/core/log'
import type { FastifyBaseLogger } from 'fastify'

/**
 * A request's lines carry its id. Of most requests nothing is ever said, so the child that adds the id is made with
 * the first line: made with the request, it would cost a purchase as much as its purchase token.
 */
class RequestLog {
  readonly #log: Logger
  readonly #requestId: string
  #child: Logger | undefined

  constructor(log: Logger, requestId: string) {
    this.#log = log
    this.#requestId = requestId
  }

  get level(): string {
    return this.#log.level
  }

  get #own(): Logger {
    return (this.#child ??= this.#log.child({ requestId: this.#requestId }))
  }

  fatal(...line: Parameters<Logger['fatal']>): void {
    this.#own.fatal(...line)
  }
  error(...line: Parameters<Logger['error']>): void {
    this.#own.error(...line)
  }
  warn(...line: Parameters<Logger['warn']>): void {
    this.#own.warn(...line)
  }
  info(...line: Parameters<Logger['info']>): void {
    this.#own.info(...line)
  }
  debug(...line: Parameters<Logger['debug']>): void {
    this.#own.debug(...line)
  }
  trace(...line: Parameters<Logger['trace']>): void {
    this.#own.trace(...line)
  }
  silent(): void {}
  child(bindings: Record<string, unknown>, options?: { level?: string }): Logger {
    return this.#own.child(bindings, options)
  }
}

/** For `app.setChildLoggerFactory`. */
export function createRequestLog(log: Logger) {
  return (_parent: unknown, { requestId }: { requestId?: string }): FastifyBaseLogger =>
    new RequestLog(log, requestId ?? '') as unknown as FastifyBaseLogger
}
