import { createServer, type Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

import { addGauge, type Registry } from './metrics/registry.ts'

/** Resolves when the dependency answers, rejects when it does not. */
export type HealthCheck = () => Promise<unknown>

export interface HealthServer {
  port: number
  /** Resolves when /readyz says yes for the first time. */
  untilReady(): Promise<void>
  /** From now on /readyz says no, so that no new work is sent here. */
  drain(): void
  close(): Promise<void>
}

const CHECK_DEADLINE_MS = 300
const CACHED_MS = 1_000
const LOOK_AGAIN_MS = 100

/**
 * /livez (this process turns its event loop), /readyz (each dependency answers) and /metrics (for Prometheus), on a
 * port of their own.
 *
 * The checks run once a second at most, however often somebody asks.
 */
export async function startHealthServer(options: {
  host: string
  port: number
  checks: Record<string, HealthCheck>
  registry: Registry
  /** More to be read here, as JSON, by its path: what is for operators and not for shoppers. */
  documents?: Record<string, () => unknown>
}): Promise<HealthServer> {
  let isDraining = false
  let known: { untilMs: number; result: Promise<Record<string, 'ok' | 'away'>> } | undefined

  const readiness = (): Promise<Record<string, 'ok' | 'away'>> => {
    if (!known || known.untilMs < performance.now()) {
      known = { untilMs: performance.now() + CACHED_MS, result: runChecks(options.checks) }
    }
    return known.result
  }

  const isReady = async (): Promise<boolean> =>
    !isDraining && Object.values(await readiness()).every((state) => state === 'ok')
  addGauge(options.registry, 'blitzbuy_ready', '1 while /readyz answers 200.', async () =>
    Number(await isReady()),
  )

  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      response.end(JSON.stringify(body))
    }
    if (request.url === '/livez') return answer(200, { status: 'ok' })
    if (request.url === '/metrics') {
      options.registry.metrics().then(
        (text) => {
          response.writeHead(200, {
            'content-type': options.registry.contentType,
            'cache-control': 'no-store',
          })
          response.end(text)
        },
        () => answer(500, { status: 'failed' }),
      )
      return
    }
    const document = options.documents?.[request.url ?? '']
    if (document) return answer(200, document())
    if (request.url !== '/readyz') return answer(404, { status: 'not-found' })
    void Promise.all([readiness(), isReady()]).then(([checks, ready]) =>
      answer(ready ? 200 : 503, { status: isDraining ? 'draining' : ready ? 'ok' : 'not-ready', checks }),
    )
  })
  await listen(server, options.port, options.host)
  const address = server.address()

  return {
    port: typeof address === 'object' && address ? address.port : options.port,
    async untilReady() {
      while (!(await isReady())) await sleep(LOOK_AGAIN_MS, undefined, { ref: false })
    },
    drain: () => {
      isDraining = true
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function runChecks(checks: Record<string, HealthCheck>): Promise<Record<string, 'ok' | 'away'>> {
  const states = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      const late = AbortSignal.timeout(CHECK_DEADLINE_MS)
      const isOk = await Promise.race([
        check().then(
          () => true,
          () => false,
        ),
        new Promise<boolean>((resolve) =>
          late.addEventListener('abort', () => resolve(false), { once: true }),
        ),
      ])
      return [name, isOk ? 'ok' : 'away'] as const
    }),
  )
  return Object.fromEntries(states)
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
}
