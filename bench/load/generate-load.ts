import { performance } from 'node:perf_hooks'

import autocannon from 'autocannon'

import { answerAsks } from './ask.ts'
import { addressOf } from './address-of.ts'
import type { Load, LoadResult } from './load.ts'

/*
 * The load generator, in a process of its own: it takes one load at a time over the channel it was started with, and
 * answers with its result. It tells when all connections stand.
 */
answerAsks<Load, LoadResult>(generate)

const TIMEOUT_SECONDS = 10
/** Later than after this share of all answers, what remains is too little to be measured by itself. */
const STEADY_BY = 0.5

async function generate(load: Load, tell: () => void): Promise<LoadResult> {
  const { origins, connections, cookies, expected } = load
  const latenciesMs = new Float64Array(cookies.length)
  const statuses: Record<string, number> = {}
  const opened = new WeakSet<autocannon.Client>()
  let openedCount = 0
  let answered = 0
  let good = 0
  let timed = 0

  const cpuBefore = process.cpuUsage()
  const loopBefore = performance.eventLoopUtilization()
  const beganMs = performance.now()
  let steadyFrom = { answered: 0, good: 0, atMs: beganMs }
  const readOwnLoad = () => ({
    lastAnswerMs: performance.now(),
    cpu: process.cpuUsage(cpuBefore),
    loop: performance.eventLoopUtilization(loopBefore),
  })
  let own: ReturnType<typeof readOwnLoad> | undefined

  function take(client: autocannon.Client, status: number, latencyMs: number): void {
    answered += 1
    statuses[status] = (statuses[status] ?? 0) + 1
    if (expected.includes(String(status))) good += 1
    // A connection's first request waits until all of them are open: that is no latency of the route.
    if (opened.has(client)) {
      latenciesMs[timed++] = latencyMs
    } else {
      opened.add(client)
      openedCount += 1
      if (openedCount === connections && answered <= cookies.length * STEADY_BY) {
        steadyFrom = { answered, good, atMs: performance.now() }
        tell()
      }
    }
    if (answered === cookies.length) own = readOwnLoad()
  }

  const fallAsleep = load.isAwake ? stayAwake() : () => undefined
  try {
    await Promise.all(origins.map((origin, at) => fire(origin, shareOf(load, at), take)))
  } finally {
    fallAsleep()
  }

  const { lastAnswerMs, cpu, loop } = own ?? readOwnLoad()
  const elapsedMs = lastAnswerMs - beganMs
  return {
    elapsedMs,
    steady: {
      good: good - steadyFrom.good,
      answered: answered - steadyFrom.answered,
      elapsedMs: lastAnswerMs - steadyFrom.atMs,
    },
    latenciesMs: latenciesMs.slice(0, timed),
    statuses,
    unanswered: cookies.length - answered,
    lastAnswerAtMs: performance.timeOrigin + lastAnswerMs,
    generatorBusy: loop.utilization,
    generatorCpu: (cpu.user + cpu.system) / 1000 / elapsedMs,
  }
}

/** An event loop that always has something to do asks for answers without waiting for them. */
function stayAwake(): () => void {
  let isAwake = true
  const turn = (): void => void (isAwake && setImmediate(turn))
  turn()
  return () => void (isAwake = false)
}

interface Share {
  method: Load['method']
  connections: number
  shoppers: { path: string; cookie: string; token: string; address: string; body: string }[]
}

/** What the api at this place in the list gets. */
function shareOf(load: Load, at: number): Share {
  const { origins, method, paths, cookies, tokens, bodies, connections } = load
  const shoppers = cookies
    .map((cookie, shopper) => ({
      cookie,
      path: paths[shopper] ?? paths[0] ?? '/',
      token: tokens[shopper] ?? '',
      address: addressOf(shopper + 1),
      body: bodies?.[shopper] ?? '{"quantity":1}',
    }))
    .filter((_, shopper) => shopper % origins.length === at)
  const rest = connections % origins.length
  return { method, shoppers, connections: Math.floor(connections / origins.length) + (at < rest ? 1 : 0) }
}

function fire(
  origin: string,
  { method, connections, shoppers }: Share,
  take: (client: autocannon.Client, status: number, latencyMs: number) => void,
): Promise<void> {
  let sent = 0
  return new Promise((resolve, reject) => {
    const run = autocannon(
      {
        url: origin,
        method,
        connections,
        // By amount, not by time: at the end of a time requests would be on their way that nobody counts.
        amount: shoppers.length,
        timeout: TIMEOUT_SECONDS,
        // autocannon looks only this often (ms) whether it has finished.
        sampleInt: 100,
        ...(method === 'POST' && { headers: { 'content-type': 'application/json' } }),
        requests: [
          {
            // Called for every request. One whose connection broke is not sent again: the next shopper's is.
            setupRequest(request) {
              const shopper = shoppers[sent]
              if (shopper === undefined) throw new Error(`more requests than the ${shoppers.length} shoppers`)
              const { path, cookie, token, address, body } = shopper
              sent += 1
              if (method === 'GET') return { ...request, path }
              return {
                ...request,
                path,
                body,
                headers: {
                  ...request.headers,
                  cookie,
                  'x-forwarded-for': address,
                  'x-purchase-token': token,
                },
              }
            },
          },
        ],
      },
      (error) => (error ? reject(error as Error) : resolve()),
    )
    run.on('response', (client, status, _bytes, latencyMs) => take(client, status, latencyMs))
  })
}
