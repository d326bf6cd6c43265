import { performance } from 'node:perf_hooks'

import autocannon from 'autocannon'

import type { Load, LoadResult } from './load.ts'

/*
 * The load generator, in a process of its own: it takes one load at a time over the channel it was started with, and
 * answers with its result.
 */
process.on('message', (load: Load) => {
  void generate(load).then((result) => process.send?.(result))
})

const TIMEOUT_SECONDS = 10

async function generate({ url, method, cookies, tokens, connections }: Load): Promise<LoadResult> {
  const latenciesMs = new Float64Array(cookies.length)
  const statuses: Record<string, number> = {}
  const opened = new WeakSet<autocannon.Client>()
  let sent = 0
  let answered = 0
  let timed = 0

  const cpuBefore = process.cpuUsage()
  const loopBefore = performance.eventLoopUtilization()
  const beganMs = performance.now()
  const readOwnLoad = () => ({
    lastAnswerMs: performance.now(),
    cpu: process.cpuUsage(cpuBefore),
    loop: performance.eventLoopUtilization(loopBefore),
  })
  let own: ReturnType<typeof readOwnLoad> | undefined

  await new Promise<void>((resolve, reject) => {
    const run = autocannon(
      {
        url,
        method,
        connections,
        // By amount, not by time: at the end of a time requests would be on their way that nobody counts.
        amount: cookies.length,
        timeout: TIMEOUT_SECONDS,
        // autocannon looks only this often (ms) whether it has finished.
        sampleInt: 100,
        ...(method === 'POST' && { headers: { 'content-type': 'application/json' }, body: '{"quantity":1}' }),
        requests: [
          {
            // Called for every request. One whose connection broke is not sent again: the next shopper's is.
            setupRequest(request) {
              const cookie = cookies[sent]
              if (cookie === undefined) throw new Error(`more requests than the ${cookies.length} shoppers`)
              const token = tokens[sent] ?? ''
              sent += 1
              if (method === 'GET') return request
              return {
                ...request,
                headers: {
                  ...request.headers,
                  cookie,
                  'x-forwarded-for': addressOf(sent),
                  'x-purchase-token': token,
                },
              }
            },
          },
        ],
      },
      (error) => (error ? reject(error as Error) : resolve()),
    )
    run.on('response', (client, status, _bytes, latencyMs) => {
      answered += 1
      statuses[status] = (statuses[status] ?? 0) + 1
      // A connection's first request waits until all of them are open: that is no latency of the route.
      if (opened.has(client)) latenciesMs[timed++] = latencyMs
      else opened.add(client)
      if (answered === cookies.length) own = readOwnLoad()
    })
  })

  const { lastAnswerMs, cpu, loop } = own ?? readOwnLoad()
  const elapsedMs = lastAnswerMs - beganMs
  return {
    elapsedMs,
    latenciesMs: latenciesMs.slice(0, timed),
    statuses,
    unanswered: cookies.length - answered,
    lastAnswerAtMs: performance.timeOrigin + lastAnswerMs,
    generatorBusy: loop.utilization,
    generatorCpu: (cpu.user + cpu.system) / 1000 / elapsedMs,
  }
}

/** Each shopper sits somewhere else: from one address the limits would stop them, as they should. */
function addressOf(shopper: number): string {
  return `10.${(shopper >> 16) & 255}.${(shopper >> 8) & 255}.${shopper & 255}`
}
