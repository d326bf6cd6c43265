import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

import { createPurchaseTokens } from '@blitzbuy/core/gate/purchase-tokens'
import { createSandboxProvider, type SandboxAct } from '@blitzbuy/core/order/sandbox-provider'

import type { Shopper } from '../../scripts/blitz/make-shoppers.ts'
import { outcomeOf, type Call } from './history.ts'
import type { FaultProcess } from './processes.ts'
import type { Random } from './random.ts'
import type { FaultSystem } from './system.ts'

/** Longer than any answer may take; who hears nothing by then does not know what became of it. */
const GIVES_UP_MS = 6_000
const READS_FOR_MS = 15_000
const TRIES_MAX = 30
const TOKEN_LASTS_MS = 3_600_000

/** Every call of one shopper, each kept in the history. */
export function createShopperCalls(system: FaultSystem) {
  const tokens = createPurchaseTokens([system.secrets.PURCHASE_TOKEN_SECRETS])
  const provider = createSandboxProvider({
    mysql: system.mysql,
    secrets: [system.secrets.PAYMENT_CALLBACK_SECRETS],
    publicOrigin: system.apis[0]?.origin ?? '',
  })

  async function call(
    kind: Call['kind'],
    shopper: Shopper,
    api: FaultProcess,
    saleId: number,
    path: string,
    headers: Record<string, string> = {},
  ): Promise<Call & { paymentUrl?: string }> {
    const beganMs = performance.now()
    let status = 0
    let body: Record<string, string> = {}
    try {
      const answer = await fetch(`${api.origin}/api/v1${path}`, {
        method: kind === 'read' ? 'GET' : 'POST',
        headers: { cookie: shopper.cookie, 'x-forwarded-for': addressOf(shopper), ...headers },
        signal: AbortSignal.timeout(GIVES_UP_MS),
      })
      body = (await answer.json()) as Record<string, string>
      status = answer.status
    } catch {
      // No answer: nobody knows.
    }
    const { code, orderId, state, reason, handoff, paymentUrl } = body
    const made = {
      at: api.name,
      kind,
      userId: shopper.userId,
      saleId,
      beganMs,
      tookMs: performance.now() - beganMs,
      outcome: outcomeOf(status, code),
      status,
      code,
      orderId,
      state,
      reason,
      handoff,
    }
    system.history.add(made)
    return paymentUrl === undefined ? made : { ...made, paymentUrl }
  }

  const calls = {
    /** As the human check would give it, now: one that has bought buys no other. */
    makeToken(saleId: number, userId: number): string {
      const issuedAtMs = Date.now()
      return tokens.sign({
        saleId,
        userId,
        issuedAtMs,
        notBeforeMs: 0,
        expiresAtMs: issuedAtMs + TOKEN_LASTS_MS,
      })
    },

    buy: (shopper: Shopper, api: FaultProcess, saleId: number, token: string, isRetry = false) =>
      call('buy', shopper, api, saleId, `/sales/${saleId}/orders`, {
        'x-purchase-token': token,
        ...(isRetry && { 'x-purchase-retry': '1' }),
      }),

    /** Buys, and asks again until it is known what became of it. */
    async buyUntilKnown(
      shopper: Shopper,
      saleId: number,
      pickApi: () => FaultProcess,
      isOver: () => boolean = () => false,
    ): Promise<Call> {
      const token = calls.makeToken(saleId, shopper.userId)
      let answer = await calls.buy(shopper, pickApi(), saleId, token)
      for (let tries = 1; tries < TRIES_MAX && !isOver(); tries += 1) {
        if (answer.status === 401) await system.logInAgain(shopper).catch(() => undefined)
        else if (answer.outcome !== 'unknown' && answer.status !== 503) break
        await pause(Math.min(1_000, 50 * 2 ** tries))
        answer = await calls.buy(shopper, pickApi(), saleId, token, true)
      }
      return answer
    },

    read: (shopper: Shopper, api: FaultProcess, saleId: number, orderId: string) =>
      call('read', shopper, api, saleId, `/orders/${orderId}`),

    async readUntilDecided(
      shopper: Shopper,
      saleId: number,
      orderId: string,
      pickApi: () => FaultProcess,
      forMs = READS_FOR_MS,
    ): Promise<string | undefined> {
      const untilMs = performance.now() + forMs
      for (;;) {
        const answer = await calls.read(shopper, pickApi(), saleId, orderId)
        if (answer.outcome === 'ok' && answer.state !== 'queued') return answer.state
        if (answer.status === 401) await system.logInAgain(shopper).catch(() => undefined)
        if (performance.now() > untilMs) return undefined
        await pause(200)
      }
    },

    cancel: (shopper: Shopper, api: FaultProcess, saleId: number, orderId: string) =>
      call('cancel', shopper, api, saleId, `/orders/${orderId}/cancellation`),

    /** Begins a payment, and has the provider act on it; its callback goes on by itself. */
    async pay(
      shopper: Shopper,
      api: FaultProcess,
      saleId: number,
      orderId: string,
      act: SandboxAct = 'pay',
    ): Promise<Call> {
      const begun = await call('pay', shopper, api, saleId, `/orders/${orderId}/payments`)
      const ref = begun.paymentUrl?.split('/').at(-1)
      if (ref === undefined) return begun
      try {
        const payment = await provider.find(ref)
        if (payment) await provider.act(payment, act)
      } catch {
        // The provider's own books were away: nothing was taken, or it stands there.
      }
      return begun
    },
  }
  return calls
}

export interface Workload {
  stop(): Promise<void>
}

/** Shoppers who buy, wait, pay, cancel or forget, and buy again, until they are told to stop. */
export async function startWorkload(
  system: FaultSystem,
  options: { saleId: number; random: Random; shoppers?: number; atOnce?: number; pauseMs?: number },
): Promise<Workload> {
  const { saleId, random, atOnce = 20, pauseMs = 60 } = options
  const idle = await system.makeShoppers(options.shoppers ?? 200)
  const calls = createShopperCalls(system)
  const pickApi = (): FaultProcess => random.pick(system.apis)
  let isOver = false

  async function visit(shopper: Shopper): Promise<void> {
    const bought = await calls.buyUntilKnown(shopper, saleId, pickApi, () => isOver)
    const { orderId } = bought
    if (orderId === undefined) return
    const state = await calls.readUntilDecided(shopper, saleId, orderId, pickApi, isOver ? 0 : READS_FOR_MS)
    if (state !== 'awaiting_payment') return
    const intention = random.between(1, 100)
    if (intention <= 12) await calls.pay(shopper, pickApi(), saleId, orderId)
    else if (intention <= 15) await calls.pay(shopper, pickApi(), saleId, orderId, 'pay-twice')
    else if (intention <= 18) await calls.pay(shopper, pickApi(), saleId, orderId, 'pay-late')
    else if (intention <= 20) await calls.pay(shopper, pickApi(), saleId, orderId, 'pay-wrong-amount')
    else if (intention <= 60) await calls.cancel(shopper, pickApi(), saleId, orderId)
    else if (intention <= 65) {
      // Both at once: one of them wins.
      await Promise.all([
        calls.cancel(shopper, pickApi(), saleId, orderId),
        calls.pay(shopper, pickApi(), saleId, orderId),
      ])
    }
  }

  const loops = Array.from({ length: atOnce }, async () => {
    while (!isOver) {
      const shopper = idle.shift()
      if (shopper) {
        await visit(shopper)
        idle.push(shopper)
      }
      await pause(pauseMs)
    }
  })
  return {
    async stop() {
      isOver = true
      await Promise.all(loops)
    },
  }
}

function addressOf({ userId }: Shopper): string {
  return `10.${(userId >> 16) & 255}.${(userId >> 8) & 255}.${userId & 255}`
}
