import { hostname } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'

import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
  type Link,
  type Span as OtelSpan,
  type SpanContext,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type SpanExporter,
} from '@opentelemetry/sdk-trace'
import type { Logger } from 'pino'

import { LIST_MAX } from '../redis/lua-script.ts'
import { RELEASE } from '../release.ts'
import type { Span, SpanOptions, Tracing } from './tracing.ts'

/** A collector that is away costs this many spans of memory; whatever comes then is dropped. */
const QUEUE_MAX = 4_096
const SEND_EVERY_MS = 1_000
const SEND_TIMEOUT_MS = 3_000
/** Of the nine seconds in which a process ends; its work has had its turn by then. */
const LAST_SEND_MS = 1_500

const KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
}
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

/**
 * Sends spans to a collector by OTLP over HTTP, behind everybody's back: no request and no message waits for it.
 *
 * Nothing is instrumented by patching modules and nothing is registered globally; what is traced asks for its span.
 */
export function createOtlpTracing(options: {
  endpoint: string
  /** How much of all traces is kept, 0 to 1. */
  ratio: number
  service: string
  namespace: string
  log: Logger
}): Tracing {
  const { endpoint, ratio, service, namespace, log } = options
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': service,
      'service.namespace': namespace,
      'service.version': RELEASE,
      'service.instance.id': `${hostname()}:${process.pid}`,
    }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    // A batch of purchases is linked with each of them.
    spanLimits: { linkCountLimit: LIST_MAX },
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: tellOfOutages(
          new OTLPTraceExporter({
            url: `${endpoint.replace(/\/$/, '')}/v1/traces`,
            timeoutMillis: SEND_TIMEOUT_MS,
          }),
          log,
        ),
        maxQueueSize: QUEUE_MAX,
        scheduledDelayMillis: SEND_EVERY_MS,
        exportTimeoutMillis: SEND_TIMEOUT_MS,
      }),
    ],
  })
  const tracer = provider.getTracer('blitzbuy', RELEASE)

  const begin = (
    parent: Context,
    links: Link[],
    name: string,
    { kind, attributes = {} }: SpanOptions,
  ): Span | undefined => {
    const span = tracer.startSpan(name, { kind: KINDS[kind], attributes, links }, parent)
    return span.isRecording() ? wrap(span) : undefined
  }

  return {
    beginTrace: (name, spanOptions) => begin(ROOT_CONTEXT, [], name, spanOptions),
    beginBelow(causes, name, spanOptions) {
      const [parent, ...others] = causes.map(readTraceparent).filter((cause) => cause !== undefined)
      if (!parent) return undefined
      const links = others.map((context) => ({ context }))
      return begin(trace.setSpanContext(ROOT_CONTEXT, parent), links, name, spanOptions)
    },
    async close() {
      const sent = provider.shutdown().catch(() => undefined)
      await Promise.race([sent, pause(LAST_SEND_MS, undefined, { ref: false })])
    },
  }
}

function wrap(span: OtelSpan): Span {
  const { traceId, spanId } = span.spanContext()
  return {
    traceparent: `00-${traceId}-${spanId}-01`,
    set: (attributes) => void span.setAttributes(attributes),
    link(traceparent) {
      const context = readTraceparent(traceparent)
      if (context) span.addLink({ context })
    },
    end(failure) {
      if (failure !== undefined) {
        span.setStatus({ code: SpanStatusCode.ERROR })
        span.setAttribute('error.type', failure)
      }
      span.end()
    },
  }
}

/** What a message brings may be anything; only a trace that is kept has children. */
function readTraceparent(traceparent: string): SpanContext | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? []
  if (!traceId || !spanId || !(Number(`0x${flags}`) & TraceFlags.SAMPLED)) return undefined
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true }
}

/** The SDK keeps silent about a collector that does not answer; one line says when it began, one when it ended. */
function tellOfOutages(exporter: SpanExporter, log: Logger): SpanExporter {
  let isAway = false
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.error !== undefined
        if (failed && !isAway)
          log.warn({ err: result.error }, 'the collector takes no traces; they are dropped')
        if (!failed && isAway) log.info('the collector takes traces again')
        isAway = failed
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
  }
}
