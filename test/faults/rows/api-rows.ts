import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

import { crashAt, cutOff, restartProcess, stopProcess } from '../faults.ts'
import type { FaultProcess } from '../processes.ts'
import type { FaultSystem } from '../system.ts'
import { untilTrue } from '../until-true.ts'
import { createShopperCalls } from '../workload.ts'
import { row, type Row } from './row.ts'

const CONNECTIONS = 20
const SAME_PURCHASES = 200
const CUT_BUYERS = 30

export const apiRows: Row[] = [
  row({
    name: 'api-crash-points',
    what: 'api',
    fault:
      'kill -9 after reserve, before publish; after publish, before confirm; after confirm, before the answer',
    when: 'peak',
    holds: 'I1–I6',
    async breakThings({ system, random, demand, allow }) {
      allow({ apiDied: true })
      for (const point of ['after-reserve', 'after-publish', 'after-confirm'] as const) {
        const api = random.pick(system.apis)
        const hasDied = await crashAt(api, point, { pass: random.between(1, 5), withinMs: 20_000 })
        demand(hasDied, `${api.name} never came by ${point}`)
      }
    },
  }),
  row({
    name: 'api-signals',
    what: 'api',
    fault: 'SIGTERM and SIGINT under load, SSE streams and keep-alive sockets open',
    when: 'peak',
    holds: 'I9',
    async breakThings({ system, saleId, demand }) {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        const api = system.apis[0] as FaultProcess
        const streams = await openStreams(system, api, saleId)
        demand(streams.length > 0, 'no event stream could be opened')
        const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => openSocket(api)))
        await restartProcess(api, signal)
        for (const stream of streams) stream.abort()
        for (const socket of sockets) socket.destroy()
      }
    },
  }),
  row({
    name: 'api-blocked',
    what: 'api',
    fault: 'event loop blocked for 2 s, three times',
    when: 'peak',
    holds: 'I1–I6, I8',
    async breakThings({ system, demand }) {
      for (let round = 1; round <= 3; round += 1) {
        const api = system.apis[round % 2] as FaultProcess
        await stopProcess(api, 2_000)
        await untilTrue(`${api.name} is back`, () => api.isReady(), 10_000)
        demand(api.isRunning(), `${api.name} died of a blocked event loop`)
        await pause(1_000)
      }
    },
  }),
  row({
    name: 'network-api-redis',
    what: 'network',
    fault: 'one api host cut off from Redis',
    when: 'peak',
    holds: 'I1–I6, I8; only that host is not ready',
    async breakThings({ system, demand }) {
      const [cut, other] = system.apis as [FaultProcess, FaultProcess]
      const ending = cutOff(cut, 'redis', 8_000)
      await pause(2_500)
      demand(!(await cut.isReady()), `${cut.name} says that it is ready, cut off from Redis`)
      demand(await other.isReady(), `${other.name} is not ready, although nothing ails it`)
      await ending
      await untilTrue(`${cut.name} is ready again`, () => cut.isReady(), 20_000)
    },
  }),
  row({
    name: 'buyer-cut',
    what: 'buyer',
    fault: 'connection cut after sending, before the answer',
    when: 'peak',
    holds: 'I5: one order',
    async breakThings({ system, saleId, random, demand }) {
      const calls = createShopperCalls(system)
      for (const shopper of await system.makeShoppers(CUT_BUYERS)) {
        const api = random.pick(system.apis)
        const token = calls.makeToken(saleId, shopper.userId)
        await sendAndCut(api, saleId, shopper.cookie, token)
        noteUnknown(system, api, saleId, shopper.userId)
        const retry = await calls.buy(shopper, random.pick(system.apis), saleId, token, true)
        demand(
          retry.outcome !== 'unknown',
          `user ${shopper.userId} asked again after the cut and was answered ${retry.status}`,
        )
      }
    },
  }),
  row({
    name: 'buyer-same',
    what: 'buyer',
    fault: `the same purchase from ${SAME_PURCHASES} connections at once`,
    when: 'peak',
    holds: 'I2, I5: one order',
    sale: { quota: 400 },
    async breakThings({ system, saleId, demand }) {
      const calls = createShopperCalls(system)
      for (const shopper of await system.makeShoppers(5)) {
        const token = calls.makeToken(saleId, shopper.userId)
        const answers = await Promise.all(
          Array.from({ length: SAME_PURCHASES }, (_, at) =>
            calls.buy(shopper, system.apis[at % 2] as FaultProcess, saleId, token),
          ),
        )
        const orderIds = new Set(answers.map((answer) => answer.orderId).filter((id) => id !== undefined))
        demand(orderIds.size === 1, `user ${shopper.userId} was told of ${orderIds.size} orders`)
      }
    },
  }),
  row({
    name: 'clocks',
    what: 'api',
    fault: 'one host’s clock an hour ahead, the other’s an hour behind, as the sale opens and closes',
    when: 'peak',
    holds: 'I7',
    sale: { opensAt: new Date(Date.now() + 3_600_000), closesAt: new Date(Date.now() + 7_200_000) },
    isWarmed: false,
    endsClosed: true,
    async breakThings({ system, saleId, demand }) {
      for (const [at, api] of system.apis.entries()) {
        await api.kill()
        await api.start({ NODE_OPTIONS: shiftedClock((at === 0 ? 1 : -1) * 3_600_000) })
        await api.untilReady()
      }
      await system.mysql.use(({ connection }) =>
        connection.query(
          `UPDATE sales SET opens_at = UTC_TIMESTAMP(3) + INTERVAL 4 SECOND,
                            closes_at = UTC_TIMESTAMP(3) + INTERVAL 10 SECOND, revision = revision + 1 WHERE id = ?`,
          [saleId],
        ),
      )
      await pause(13_000)
      const placed = await countOrders(system, saleId)
      demand(placed > 0, 'nothing was sold inside the window')
      for (const api of system.apis) await restartProcess(api)
    },
  }),
]

/** Preloaded into one process: its wall clock is wrong, its stopwatch is right. */
function shiftedClock(byMs: number): string {
  const script = `const now = Date.now; Date.now = () => now() + ${byMs};`
  return `--import=data:text/javascript,${encodeURIComponent(script)}`
}

async function countOrders({ mysql }: FaultSystem, saleId: number): Promise<number> {
  return mysql.use(async ({ connection }) => {
    const [rows] = await connection.query('SELECT COUNT(*) AS count FROM orders WHERE sale_id = ?', [saleId])
    return Number((rows as { count: number }[])[0]?.count)
  })
}

/** What the history must know of somebody whose call is made without it. */
export function noteUnknown(system: FaultSystem, api: FaultProcess, saleId: number, userId: number): void {
  system.history.add({
    at: api.name,
    kind: 'buy',
    userId,
    saleId,
    beganMs: performance.now(),
    tookMs: 0,
    outcome: 'unknown',
    status: 0,
  })
}

function sendAndCut(api: FaultProcess, saleId: number, cookie: string, token: string): Promise<void> {
  const { hostname, port } = new URL(api.origin)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname)
    socket.on('error', reject)
    const request = [
      `POST /api/v1/sales/${saleId}/orders HTTP/1.1`,
      `Host: ${hostname}`,
      `Cookie: ${cookie}`,
      `X-Purchase-Token: ${token}`,
      'Content-Length: 0',
    ]
    socket.write(`${request.join('\r\n')}\r\n\r\n`, () => {
      socket.destroy()
      resolve()
    })
  })
}

async function openSocket(api: FaultProcess) {
  const { hostname, port } = new URL(api.origin)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  socket.write(`GET /api/v1/time HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
  await new Promise((resolve) => socket.once('data', resolve))
  return socket
}

/** Shoppers whose orders are on their way listen for them; no worker runs, so the streams stay open. */
async function openStreams(
  system: FaultSystem,
  api: FaultProcess,
  saleId: number,
): Promise<AbortController[]> {
  const calls = createShopperCalls(system)
  for (const worker of system.workers) worker.signal('SIGSTOP')
  const streams: AbortController[] = []
  try {
    for (const shopper of await system.makeShoppers(10)) {
      const token = calls.makeToken(saleId, shopper.userId)
      const { orderId } = await calls.buy(shopper, api, saleId, token)
      if (orderId === undefined) continue
      const ending = new AbortController()
      const answer = await fetch(`${api.origin}/api/v1/orders/${orderId}/events`, {
        headers: { cookie: shopper.cookie },
        signal: AbortSignal.any([ending.signal, AbortSignal.timeout(60_000)]),
      })
      if (answer.status === 200) streams.push(ending)
      else ending.abort()
      answer.text().catch(() => undefined)
    }
  } finally {
    // The api ends first, while they are open.
    setTimeout(() => system.workers.forEach((worker) => worker.signal('SIGCONT')), 3_000)
  }
  return streams
}
