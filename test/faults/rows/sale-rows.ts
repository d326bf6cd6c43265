import { setTimeout as pause } from 'node:timers/promises'

import type { CrashPoint } from '@blitzbuy/core/crash-point'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import type { RowDataPacket } from 'mysql2/promise'

import type { Shopper } from '../../../scripts/blitz/make-shoppers.ts'
import { changeSale, crashAt } from '../faults.ts'
import type { FaultProcess } from '../processes.ts'
import type { FaultSystem } from '../system.ts'
import { untilTrue } from '../until-true.ts'
import { createShopperCalls } from '../workload.ts'
import { row, type Row } from './row.ts'

const RACES = 1_000
const RACE_WINDOW_SECONDS = 45
const SEEN_WITHIN_MS = 2_000

export const saleRows: Row[] = [
  row({
    name: 'payment-crash-points',
    what: 'api, order-worker',
    fault: 'kill -9 after a pay, cancel or expire commit, before the return',
    when: 'payment',
    holds: 'I3, I6, I11',
    async breakThings({ system, demand, allow }) {
      allow({ apiDied: true })
      const [api, other] = system.apis as [FaultProcess, FaultProcess]
      const deaths: [FaultProcess, CrashPoint][] = [
        [api, 'after-cancel-commit'],
        [other, 'after-pay-commit'],
        [system.workers[0] as FaultProcess, 'after-expire-commit'],
      ]
      for (const [process, point] of deaths) {
        const hasDied = await crashAt(process, point, { withinMs: 40_000 })
        demand(hasDied, `${process.name} never came by ${point}`)
      }
    },
  }),
  row({
    name: 'lifecycle-race',
    what: 'lifecycle',
    fault: `pay, cancel and expire race for the same order, ${RACES} times`,
    when: 'payment',
    holds: 'I3, I6, I11: exactly one wins, the units come back at most once',
    atOnce: 0,
    sale: { quota: RACES, paymentWindowSeconds: RACE_WINDOW_SECONDS },
    breakThings: ({ system, saleId, demand }) => raceAll(system, saleId, demand),
  }),
  row({
    name: 'warmer-crash-points',
    what: 'stock-warmer',
    fault: 'killed half-way through create, adopt and open, after Redis was emptied',
    when: 'peak',
    holds: 'I1, I3; `sale-warming`, never a 500',
    async breakThings({ system, saleId, demand, allow }) {
      allow({ redisLostData: true })
      const [warmer, other] = system.warmers as [FaultProcess, FaultProcess]
      const fromMs = performance.now()
      for (const point of ['before-create', 'after-create', 'mid-adopt', 'before-open'] as const) {
        await other.kill()
        const dying = crashAt(warmer, point, { withinMs: 60_000 })
        await untilTrue(`${warmer.name} runs`, () => warmer.isReady(), 20_000).catch(() => undefined)
        await system.redis.flushall()
        demand(await dying, `${warmer.name} never came by ${point}`)
        await other.start()
        await letBuildSeemAbandoned(system, saleId)
        await system.untilOpen(saleId)
      }
      demandNoFault(system, saleId, fromMs, demand)
    },
  }),
  row({
    name: 'warmers-at-once',
    what: 'stock-warmer',
    fault: 'four builds at once, during an open sale, three times',
    when: 'peak',
    holds: 'I1, I3; `sale-warming`, never a 500',
    async breakThings({ system, saleId, demand }) {
      const fromMs = performance.now()
      const warmSale = createWarmSale(system)
      const build = () => warmSale.build(saleId)
      for (let round = 1; round <= 3; round += 1) {
        const outcomes = await Promise.all([build(), build(), build(), build()])
        demand(outcomes.includes('opened'), 'none of four builds finished')
        await system.untilOpen(saleId)
        await pause(1_500)
      }
      demandNoFault(system, saleId, fromMs, demand)
    },
  }),
  row({
    name: 'warmer-never-ran',
    what: 'stock-warmer',
    fault: 'never ran before the sale opened',
    when: 'before',
    holds: 'I1, I3; `sale-warming`, never a 500',
    async breakThings({ system, saleId, demand }) {
      await Promise.all(system.warmers.map((warmer) => warmer.kill()))
      const cold = await system.addSale()
      const calls = createShopperCalls(system)
      for (const shopper of await system.makeShoppers(10)) {
        const answer = await calls.buy(
          shopper,
          system.apis[shopper.userId % 2] as FaultProcess,
          cold,
          calls.makeToken(cold, shopper.userId),
        )
        demand(
          answer.code === 'sale-warming',
          `a sale that is not warmed answers ${answer.status} ${answer.code}`,
        )
      }
      await Promise.all(system.warmers.map((warmer) => warmer.start()))
      await system.untilOpen(cold)
      demandNoFault(system, saleId, 0, demand)
    },
  }),
  row({
    name: 'operator-changes',
    what: 'operator',
    fault: 'pause, resume, restock, quota lowered, two operators at once',
    when: 'peak',
    holds: 'I1–I3; buyers see it everywhere within 2 s',
    async breakThings({ system, saleId, demand, allow }) {
      allow({ quotaLowered: true })
      await changeSale(system, saleId, { state: 'paused' })
      await demandSeen(system, saleId, 'sale-paused', demand)
      await changeSale(system, saleId, { state: 'scheduled' })
      await demandSeen(system, saleId, undefined, demand)
      for (let round = 1; round <= 5; round += 1) {
        await Promise.all([
          changeSale(system, saleId, ({ quota }) => ({ quota: quota + 10 })),
          changeSale(system, saleId, ({ quota, unitsSold }) => ({ quota: Math.max(unitsSold, quota - 25) })),
        ])
        await pause(400)
      }
      await changeSale(system, saleId, ({ unitsSold }) => ({ quota: Math.max(1, unitsSold) }))
      await pause(2_000)
      await changeSale(system, saleId, { quota: 200 })
    },
  }),
  row({
    name: 'operator-killed',
    what: 'operator',
    fault: 'killed between MySQL and Redis, while the sale is paused, resumed and restocked',
    when: 'peak',
    holds: 'I1–I3; buyers see it everywhere within 2 s of the warmer’s look',
    async breakThings({ system, saleId, demand }) {
      await changeSale(system, saleId, { state: 'paused' }, false)
      await demandSeen(system, saleId, 'sale-paused', demand)
      await changeSale(system, saleId, { state: 'scheduled' }, false)
      await demandSeen(system, saleId, undefined, demand)
      await changeSale(system, saleId, ({ quota }) => ({ quota: quota + 20 }), false)
      await untilTrue(
        'Redis has the new quota',
        async () => (await system.redis.hget(`{sale:${saleId}}:stock`, 'quota')) === '170',
        SEEN_WITHIN_MS + 3_000,
      ).catch((error: Error) => demand(false, error.message))
    },
  }),
]

/** Thirty seconds later: a copy that stands half-built for so long is built anew. */
async function letBuildSeemAbandoned({ redis }: FaultSystem, saleId: number): Promise<void> {
  const key = `{sale:${saleId}}:stock`
  const [state, sinceMs] = await redis.hmget(key, 'state', 'warmingSinceMs')
  if (state === 'warming') await redis.hset(key, 'warmingSinceMs', Number(sinceMs) - 31_000)
}

function demandNoFault(
  { history }: FaultSystem,
  saleId: number,
  fromMs: number,
  demand: (isTrue: boolean, violation: string) => void,
): void {
  const faults = history.calls.filter(
    (call) =>
      call.saleId === saleId && call.beganMs >= fromMs && (call.status === 500 || call.code === 'internal'),
  )
  demand(faults.length === 0, `${faults.length} calls were answered 500`)
}

/** Each api says so in time; `code` undefined: none says that the sale is paused. */
async function demandSeen(
  system: FaultSystem,
  saleId: number,
  code: string | undefined,
  demand: (isTrue: boolean, violation: string) => void,
): Promise<void> {
  const calls = createShopperCalls(system)
  const beganMs = performance.now()
  for (const api of system.apis) {
    await untilTrue(
      `${api.name} says ${code ?? 'anything but sale-paused'}`,
      async () => {
        // Somebody new each time: who has bought hears of their order, whatever becomes of the sale.
        const [shopper] = (await system.makeShoppers(1)) as [Shopper]
        const answer = await calls.buy(shopper, api, saleId, calls.makeToken(saleId, shopper.userId))
        return code === undefined ? answer.code !== 'sale-paused' : answer.code === code
      },
      SEEN_WITHIN_MS + 3_000,
      50,
    ).catch((error: Error) => demand(false, error.message))
  }
  const tookMs = performance.now() - beganMs - system.history.stalledMs(beganMs, performance.now())
  demand(tookMs < SEEN_WITHIN_MS + 1_000, `a change was seen everywhere only after ${Math.round(tookMs)} ms`)
}

async function raceAll(
  system: FaultSystem,
  saleId: number,
  demand: (isTrue: boolean, violation: string) => void,
): Promise<void> {
  const calls = createShopperCalls(system)
  const api = (at: number): FaultProcess => system.apis[at % 2] as FaultProcess
  const shoppers = await system.makeShoppers(RACES)
  const orders = new Map<number, string>()
  const waiting = [...shoppers]
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      for (let shopper = waiting.pop(); shopper; shopper = waiting.pop()) {
        const { orderId } = await calls.buyUntilKnown(shopper, saleId, () => api(waiting.length))
        if (orderId !== undefined) orders.set(shopper.userId, orderId)
      }
    }),
  )
  demand(orders.size === RACES, `${orders.size} of ${RACES} shoppers got an order`)
  await untilTrue(
    'all are placed',
    async () => (await payBefores(system, saleId)).size === orders.size,
    60_000,
  )

  const payBeforeMs = await payBefores(system, saleId)
  await Promise.all(
    shoppers.map(async (shopper, at) => {
      const orderId = orders.get(shopper.userId)
      const dueMs = payBeforeMs.get(orderId ?? '')
      if (orderId === undefined || dueMs === undefined) return
      // Around the moment at which it expires; the sweep comes once a second.
      await pause(Math.max(0, dueMs - Date.now() - 600 + (at % 12) * 100))
      await Promise.all([
        calls.pay(shopper, api(at), saleId, orderId),
        calls.cancel(shopper, api(at + 1), saleId, orderId),
      ])
    }),
  )
  await untilTrue(
    'every race is over',
    async () => {
      const [open] = await system.mysql.use(async ({ connection }) => {
        const [rows] = await connection.query<(RowDataPacket & { open: number })[]>(
          `SELECT COUNT(*) AS open FROM orders WHERE sale_id = ? AND state = 'awaiting_payment'`,
          [saleId],
        )
        return rows
      })
      return Number(open?.open) === 0
    },
    60_000,
  )
}

async function payBefores({ mysql }: FaultSystem, saleId: number): Promise<Map<string, number>> {
  return mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<(RowDataPacket & { id: string; payBefore: Date })[]>(
      'SELECT id, pay_before AS payBefore FROM orders WHERE sale_id = ? AND pay_before IS NOT NULL',
      [saleId],
    )
    return new Map(rows.map((row) => [row.id, row.payBefore.getTime()]))
  }, 10_000)
}
