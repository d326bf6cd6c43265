import type { Logger } from 'pino'

import { StoreAway } from '../errors.ts'

/** What a span says beside its name and its times: never who buys, no phone number, address, cookie or token. */
export type SpanAttributes = Readonly<Record<string, string | number>>

export interface SpanOptions {
  kind: 'server' | 'client' | 'producer' | 'consumer'
  attributes?: SpanAttributes
}

export interface Span {
  /** Its name in the form of W3C Trace Context: what children and links are made with, in whatever process. */
  readonly traceparent: string
  set(attributes: SpanAttributes): void
  link(traceparent: string): void
  /** @param failure the kind of failure, if it is one; no text that could hold values. */
  end(failure?: string): void
}

/**
 * Traces of OpenTelemetry. Whoever is given none wraps nothing and loads nothing: there is no implementation that
 * does nothing.
 */
export interface Tracing {
  /** The first span of a new trace; undefined when this trace is not among those that are kept. */
  beginTrace(name: string, options: SpanOptions): Span | undefined
  /** A span below the first of its causes, linked with the others; undefined when none of them is traced. */
  beginBelow(causes: readonly string[], name: string, options: SpanOptions): Span | undefined
  /** Sends what is left, for a moment at most. */
  close(): Promise<void>
}

/** The modules of OpenTelemetry are loaded here, and only when there is a collector. */
export async function loadTracing(
  config: { OTEL_EXPORTER_OTLP_ENDPOINT?: string; OTEL_TRACES_SAMPLER_ARG: number; NAMESPACE: string },
  service: string,
  log: Logger,
): Promise<Tracing | undefined> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER_ARG: ratio, NAMESPACE } = config
  if (endpoint === undefined) return undefined
  const { createOtlpTracing } = await import('./otlp-tracing.ts')
  return createOtlpTracing({ endpoint, ratio, service, namespace: NAMESPACE, log })
}

/** Ends the span with the work, well or not. */
export async function during<T>(span: Span, work: Promise<T>): Promise<T> {
  try {
    const result = await work
    span.end()
    return result
  } catch (error) {
    span.end(kindOf(error))
    throw error
  }
}

/** The messages of drivers hold SQL and parameters; the name of an error does not. */
function kindOf(error: unknown): string {
  if (error instanceof StoreAway) return `${error.store} is away (${error.outcome})`
  return error instanceof Error ? error.name : 'unknown'
}
