import { setPriority } from 'node:os'
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

import { Client } from 'undici'

import { addressOf } from '../load/address-of.ts'
import { answerAsks } from '../load/ask.ts'
import { percentile } from '../summary.ts'
import {
  CROWD_KINDS,
  LOGIN_EVERY,
  type CrowdKind,
  type CrowdResult,
  type CrowdWork,
  type KindResult,
  type PurchaseTold,
} from './crowd-work.ts'

/*
 * A crowd, in a process of its own that stands back: in an overload the cores are the server's, which would have them
 * for itself if the crowd were elsewhere.
 */
const NICE = 10
const TIMEOUT_MS = 10_000
/** Not all connect in the same moment. */
const COME_WITHIN_MS = 500
const LOOK_AGAIN_MS = 200
const OWN_DELAY_RESOLUTION_MS = 10

setPriority(NICE)
answerAsks<CrowdWork, CrowdResult>(come)

const GOOD: Record<CrowdKind, number> = {
  page: 200,
  list: 200,
  login: 200,
  purchase: 202,
  order: 200,
  payment: 201,
}

interface Asked {
  status: number
  fields: Record<string, string>
}

async function come(work: CrowdWork): Promise<CrowdResult> {
  const { origins, saleId, people, forMs, settleMs, isPatient, buyers, phones, password } = work
  const beganMs = performance.now()
  const countedFromMs = beganMs + settleMs
  const untilMs = beganMs + forMs
  const tallies = Object.fromEntries(CROWD_KINDS.map((kind) => [kind, createTally()])) as Record<
    CrowdKind,
    Tally
  >
  const purchases: PurchaseTold[] = []
  const ownDelay = monitorEventLoopDelay({ resolution: OWN_DELAY_RESOLUTION_MS })
  ownDelay.enable()
  let nextBuyer = 0
  let nextPhone = 0
  let isShortOfBuyers = false
  const isOver = (): boolean => performance.now() >= untilMs

  async function livePerson(at: number): Promise<void> {
    await pause((at / people) * COME_WITHIN_MS)
    const origin = origins[at % origins.length] as string
    const client = new Client(origin, {
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    })
    const address = addressOf(at + 1)

    /** Asks once; who is patient has then waited as long as a refusal says. */
    async function ask(
      kind: CrowdKind,
      path: string,
      headers: Record<string, string>,
      body?: object,
    ): Promise<Asked> {
      const sentMs = performance.now()
      let status = 0
      let fields: Record<string, string> = {}
      let retryAfterMs = 0
      try {
        const answer = await client.request({
          method: body ? 'POST' : 'GET',
          path,
          headers: {
            'x-forwarded-for': address,
            ...(body && { 'content-type': 'application/json' }),
            ...headers,
          },
          body: body ? JSON.stringify(body) : null,
        })
        status = answer.statusCode
        if (String(answer.headers['content-type']).includes('json') && kind !== 'list') {
          fields = (await answer.body.json()) as Record<string, string>
        } else {
          await answer.body.dump()
        }
        retryAfterMs = Number(fields['retryAfterMs'] ?? Number(answer.headers['retry-after'] ?? 0) * 1000)
      } catch {
        // No answer: nobody knows.
      }
      const nowMs = performance.now()
      const isCounted = nowMs >= countedFromMs && nowMs < untilMs
      if (isCounted) tallies[kind].add(status, status === GOOD[kind], nowMs - sentMs)
      if (kind === 'purchase') noteAccepted(sentMs, nowMs - sentMs)
      if (isPatient && retryAfterMs > 0 && !isOver()) await pause(Math.min(retryAfterMs, untilMs - nowMs))
      return { status, fields }

      function noteAccepted(atMs: number, tookMs: number): void {
        const { code, orderId, handoff } = fields
        purchases.push({
          origin,
          userId: Number(headers['x-user-id']),
          status,
          at: performance.timeOrigin + atMs,
          tookMs,
          ...(code !== undefined && { code }),
          ...(orderId !== undefined && { orderId }),
          ...(handoff !== undefined && { handoff }),
        })
      }
    }

    async function buyAndPay(): Promise<void> {
      const buyer = buyers[nextBuyer++]
      if (buyer === undefined) {
        isShortOfBuyers = true
        return
      }
      const { userId, cookie, token } = buyer
      const own = { cookie, 'x-purchase-token': token, 'x-user-id': String(userId) }
      let bought = await ask('purchase', `/api/v1/sales/${saleId}/orders`, own, {})
      while (bought.status === 503 && !isOver()) {
        const retry = { ...own, 'x-purchase-retry': '1' }
        bought = await ask('purchase', `/api/v1/sales/${saleId}/orders`, retry, {})
      }
      const path = `/api/v1/orders/${bought.fields['orderId']}`
      if (bought.fields['orderId'] === undefined) return
      for (let state: string | undefined = 'queued'; state !== 'awaiting_payment';) {
        if (isOver()) return
        await pause(LOOK_AGAIN_MS)
        const order = await ask('order', path, { cookie })
        if (order.status === 200) state = order.fields['state']
      }
      while (!isOver() && (await ask('payment', `${path}/payments`, { cookie }, {})).status === 503);
    }

    // A visit; not all begin theirs with the same.
    const visit: (() => Promise<unknown>)[] = [
      () => ask('page', `/sales/${saleId}`, { accept: 'text/html' }),
      () => ask('list', '/api/v1/sales', {}),
      () => ask('page', `/sales/${saleId}`, { accept: 'text/html' }),
      buyAndPay,
    ]
    for (let next = at; !isOver(); next += 1) {
      if (phones.length > 0 && next % LOGIN_EVERY === 0) {
        const phone = phones[nextPhone++ % phones.length]
        await ask('login', '/api/v1/auth/login', {}, { phone, password })
      }
      await visit[next % visit.length]?.()
    }
    await client.destroy()
  }

  await Promise.all(Array.from({ length: people }, (_, at) => livePerson(at)))
  const kinds = Object.fromEntries(CROWD_KINDS.map((kind) => [kind, tallies[kind].result()])) as Record<
    CrowdKind,
    KindResult
  >
  ownDelay.disable()
  const ownDelayMs = ownDelay.mean / 1e6 - OWN_DELAY_RESOLUTION_MS
  return { kinds, countedMs: forMs - settleMs, ownDelayMs, purchases, isShortOfBuyers }
}

type Tally = ReturnType<typeof createTally>

function createTally() {
  const goodMs: number[] = []
  const refusedMs: number[] = []
  const statuses: Record<string, number> = {}
  return {
    add(status: number, isGood: boolean, tookMs: number): void {
      statuses[status === 0 ? 'none' : status] = (statuses[status === 0 ? 'none' : status] ?? 0) + 1
      if (isGood) goodMs.push(tookMs)
      else if (status === 503) refusedMs.push(tookMs)
    },
    result: (): KindResult => ({
      good: goodMs.length,
      refused: refusedMs.length,
      statuses,
      goodLatencyMs: percentilesOf(goodMs),
      refusedLatencyMs: percentilesOf(refusedMs),
    }),
  }
}

function percentilesOf(values: readonly number[]): { p50: number; p99: number } {
  const sorted = Float64Array.from(values).sort()
  return { p50: percentile(sorted, 50), p99: percentile(sorted, 99) }
}
