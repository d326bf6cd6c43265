import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'

import { readCaptcha } from '../../test/pass-gate.ts'
import { answerAsks } from '../load/ask.ts'
import { createBrowser, type Browser } from './browser.ts'
import {
  JOURNEY_STEPS,
  type JourneyResult,
  type JourneyStep,
  type JourneyWork,
  type Person,
  type StepResult,
} from './steps.ts'

/*
 * The people of the journey, in a process of their own. They read the pictures where the api keeps what they show.
 */
const READY_WITHIN_MS = 10_000
/** All countdowns end at the same time; hands do not. */
const PRESSED_AFTER_MS = 20
const PRESSED_WITHIN_MS = 500
const TRIES_MAX = 40
const PAID_WITHIN_MS = 60_000
const PROVIDER_AGAIN_MS = 1_000
const RETRY: Record<string, string> = { 'x-purchase-retry': '1' }

const redis = connectRedis({
  url: process.env.REDIS_URL as string,
  namespace: process.env.NAMESPACE as string,
  commandTimeoutMs: READY_WITHIN_MS,
})
await redisReady(redis, READY_WITHIN_MS)

answerAsks<JourneyWork, JourneyResult>(travel)

async function travel(work: JourneyWork): Promise<JourneyResult> {
  const { origin, saleId, password, opensAtMs, payWithinMs, people } = work
  const latencies = new Map<JourneyStep, number[]>(JOURNEY_STEPS.map((step) => [step, []]))
  const statuses = new Map<JourneyStep, Record<string, number>>(JOURNEY_STEPS.map((step) => [step, {}]))
  const stranded: Record<string, number> = {}
  let accepted = 0
  let paid = 0
  let lastPaidAtMs = opensAtMs

  const timed = async <T>(step: JourneyStep, work: () => Promise<T>): Promise<T> => {
    const beganMs = performance.now()
    const result = await work()
    latencies.get(step)?.push(performance.now() - beganMs)
    return result
  }

  /** Asks until it is not told to come back later. */
  async function insist(
    browser: Browser,
    step: JourneyStep,
    path: string,
    expected: number,
    { body, retryHeaders = {} }: { body?: object; retryHeaders?: Record<string, string> } = {},
  ): Promise<Record<string, string>> {
    const counts = statuses.get(step) ?? {}
    for (let tries = 1; ; tries += 1) {
      const headers = tries > 1 ? retryHeaders : {}
      const answer = await browser.ask(body ? 'POST' : 'GET', path, { headers, ...(body && { body }) })
      counts[answer.status] = (counts[answer.status] ?? 0) + 1
      if (answer.status === expected) return answer.fields
      if (answer.retryAfterMs === undefined || tries >= TRIES_MAX)
        throw new Error(`${step}: ${answer.status} ${answer.fields['code'] ?? ''}`)
      await pause(answer.retryAfterMs)
    }
  }

  async function goAllTheWay(person: Person): Promise<void> {
    await pause(person.arrivesAfterMs)
    const browser = createBrowser(origin, person)
    try {
      const salePath = `/api/v1/sales/${saleId}`
      await timed('page', () => insist(browser, 'page', `/sales/${saleId}`, 200))
      if (person.cookie === undefined) {
        const { phone } = person
        await timed('login', () =>
          insist(browser, 'login', '/api/v1/auth/login', 200, { body: { phone, password } }),
        )
      }
      const { captchaId = '' } = await timed('check', () =>
        insist(browser, 'check', `${salePath}/captchas`, 201, { body: {} }),
      )
      const answer = await readCaptcha({ redis }, captchaId)
      const { purchaseToken = '' } = await timed('token', () =>
        insist(browser, 'token', `${salePath}/purchase-tokens`, 201, { body: { captchaId, answer } }),
      )

      await pause(Math.max(0, opensAtMs - Date.now()) + PRESSED_AFTER_MS + Math.random() * PRESSED_WITHIN_MS)
      browser.holdToken(purchaseToken)
      const { orderId = '' } = await timed('buy', () =>
        insist(browser, 'buy', `${salePath}/orders`, 202, { body: {}, retryHeaders: RETRY }),
      )
      accepted += 1

      const orderPath = `/api/v1/orders/${orderId}`
      const state = await (person.listens
        ? timed('told', () => listen(browser, `${orderPath}/events`))
        : timed('polled', () => poll(browser, 'polled', orderPath, ({ state: now }) => now !== 'queued')))
      if (state !== 'awaiting_payment') throw new Error(`told: the order is ${state}`)

      await pause(Math.random() * payWithinMs)
      const { paymentUrl = '' } = await timed('payment', () =>
        insist(browser, 'payment', `${orderPath}/payments`, 201, { body: {} }),
      )
      await timed('paid', async () => {
        let status = await browser.payAt(paymentUrl)
        for (let tries = 1; status === 503 && tries < TRIES_MAX; tries += 1) {
          await pause(PROVIDER_AGAIN_MS)
          status = await browser.payAt(paymentUrl)
        }
        if (status !== 303) throw new Error(`paid: the provider's page answered ${status}`)
        await poll(browser, 'paid', orderPath, ({ state: now }) => now === 'paid')
      })
      paid += 1
      lastPaidAtMs = Date.now()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      stranded[why] = (stranded[why] ?? 0) + 1
    } finally {
      await browser.close()
    }
  }

  async function listen(browser: Browser, path: string): Promise<string | undefined> {
    const counts = statuses.get('told') ?? {}
    for (let tries = 1; ; tries += 1) {
      const { status, state, retryAfterMs } = await browser.listen(path)
      counts[status] = (counts[status] ?? 0) + 1
      if (status === 200) return state
      if (retryAfterMs === undefined || tries >= TRIES_MAX) throw new Error(`told: ${status}`)
      await pause(retryAfterMs)
    }
  }

  async function poll(
    browser: Browser,
    step: JourneyStep,
    path: string,
    isOver: (order: Record<string, string>) => boolean,
  ): Promise<string | undefined> {
    const untilMs = performance.now() + PAID_WITHIN_MS
    for (;;) {
      const order = await insist(browser, step, path, 200)
      if (isOver(order)) return order['state']
      if (performance.now() > untilMs) throw new Error(`${step}: the order is still ${order['state']}`)
      await pause(Number(order['pollAfterMs'] ?? 200))
    }
  }

  await Promise.all(people.map(goAllTheWay))
  const steps = Object.fromEntries(
    JOURNEY_STEPS.map((step): [JourneyStep, StepResult] => [
      step,
      {
        latenciesMs: Float64Array.from(latencies.get(step) ?? []).sort(),
        statuses: statuses.get(step) ?? {},
      },
    ]),
  ) as JourneyResult['steps']
  return { steps, accepted, paid, elapsedMs: lastPaidAtMs - opensAtMs, stranded }
}
