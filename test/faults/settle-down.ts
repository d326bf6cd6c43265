import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

import { audit, auditMoney, auditSoldOut, auditWindow, isAtRest, isMoneyAtRest } from '../audit.ts'
import { auditHistory, undecided, type Allowances } from './audit-history.ts'
import type { Call } from './history.ts'
import type { FaultProcess } from './processes.ts'
import type { Random } from './random.ts'
import type { FaultSystem } from './system.ts'
import { untilTrue } from './until-true.ts'
import { createShopperCalls } from './workload.ts'

const DECIDED_WITHIN_MS = 60_000
/** A comparison comes once a minute, at the latest. */
const AT_REST_WITHIN_MS = 100_000
/** Longer than a message of before a loss may take. */
const ASKS_AFTER_MS = 32_000
const ROUNDS_MAX = 3
const READS_MAX = 100
const BUYERS_AT_ONCE = 25
const MORE_THAN_THERE_IS = 5

/** After the last fault: everything comes to rest in time, everything is right, and every unit can be sold again. */
export async function settleDown(
  system: FaultSystem,
  saleId: number,
  random: Random,
  allowances: Allowances,
  isClosed = false,
): Promise<string[]> {
  const healedMs = performance.now()
  const violations: string[] = []

  let waiting = await undecided(system, saleId, system.history)
  while (waiting.length > 0 && performance.now() - healedMs < DECIDED_WITHIN_MS) {
    await pause(500)
    // What was lost by design is closed when its buyer asks for it.
    if (performance.now() - healedMs > ASKS_AFTER_MS) await readAsBuyers(system, waiting, random, 0)
    waiting = await undecided(system, saleId, system.history)
  }
  violations.push(
    ...waiting.map(({ orderId }) => `I4: order ${orderId} is not decided a minute after the last fault`),
  )
  violations.push(...(await readSome(system, saleId, random)))
  violations.push(...(await untilRight(system, saleId)))

  if (!isClosed) {
    // From now on nothing expires while it is counted.
    await system.mysql.use(({ connection }) =>
      connection.query('UPDATE sales SET payment_window_seconds = 900 WHERE id = ?', [saleId]),
    )
    await untilNothingExpires(system, saleId)
    for (let round = 1; round <= ROUNDS_MAX && (await unitsLeft(system, saleId)) > 0; round += 1) {
      await buyTheRest(system, saleId, random)
      violations.push(...(await untilRight(system, saleId)))
    }
    violations.push(...(await auditSoldOut(system, saleId)))
  }
  violations.push(...(await auditHistory(system, saleId, system.history, allowances)))
  return violations
}

async function untilRight(system: FaultSystem, saleId: number): Promise<string[]> {
  const untilMs = performance.now() + AT_REST_WITHIN_MS
  for (;;) {
    const violations = await findWrong(system, saleId).catch((error: unknown) => [
      `not readable: ${String(error)}`,
    ])
    if (violations.length === 0 || performance.now() > untilMs) return violations
    await pause(300)
  }
}

async function findWrong(system: FaultSystem, saleId: number): Promise<string[]> {
  if (!(await isAtRest(system, saleId))) return ['I3: the ledger or what is to return does not become empty']
  if (!(await isMoneyAtRest(system))) return ['I11: callbacks or refunds do not come to an end']
  return [
    ...(await audit(system, saleId)),
    ...(await auditWindow(system, saleId)),
    ...(await auditMoney(system, saleId)),
  ]
}

/** I4 says that the buyer can read it: some are read as their buyers do. */
async function readSome(system: FaultSystem, saleId: number, random: Random): Promise<string[]> {
  const promised = system.history.calls.filter(
    (call) => call.saleId === saleId && call.kind === 'buy' && call.status === 202,
  )
  const some = promised.toSorted(() => random.between(-1, 1)).slice(0, READS_MAX)
  // MySQL has decided all of them; Redis may still have to hear of it, from a relay if need be.
  return readAsBuyers(system, some, random, DECIDED_WITHIN_MS)
}

async function readAsBuyers(
  system: FaultSystem,
  promised: readonly Call[],
  random: Random,
  forMs: number,
): Promise<string[]> {
  const calls = createShopperCalls(system)
  const violations: string[] = []
  for (const { userId, saleId, orderId = '' } of promised) {
    const shopper = { userId, cookie: '', phone: await phoneOf(system, userId) }
    await system.logInAgain(shopper)
    const state = await calls.readUntilDecided(
      shopper,
      saleId,
      orderId,
      () => random.pick(system.apis),
      forMs,
    )
    if (state === undefined) violations.push(`I4: user ${userId} cannot read what became of order ${orderId}`)
  }
  return violations
}

async function phoneOf({ mysql }: FaultSystem, userId: number): Promise<string> {
  return mysql.use(async ({ connection }) => {
    const [rows] = await connection.query('SELECT phone FROM users WHERE id = ?', [userId])
    return (rows as { phone: string }[])[0]?.phone ?? ''
  })
}

/** Orders of before have a short time to pay; what comes after has a long one. */
async function untilNothingExpires(system: FaultSystem, saleId: number): Promise<void> {
  await untilTrue(
    'all orders of before have been paid or ended',
    async () => {
      const waiting = await system.mysql.use(async ({ connection }) => {
        const [rows] = await connection.query(
          `SELECT id FROM orders WHERE sale_id = ? AND state = 'awaiting_payment'
              AND pay_before < UTC_TIMESTAMP(3) + INTERVAL 5 MINUTE LIMIT 1`,
          [saleId],
        )
        return rows as unknown[]
      })
      return waiting.length === 0 && (await isAtRest(system, saleId))
    },
    AT_REST_WITHIN_MS,
  )
}

async function buyTheRest(system: FaultSystem, saleId: number, random: Random): Promise<void> {
  const calls = createShopperCalls(system)
  const shoppers = await system.makeShoppers((await unitsLeft(system, saleId)) + MORE_THAN_THERE_IS)
  const pickApi = (): FaultProcess => random.pick(system.apis)
  const buyAll = async (): Promise<void> => {
    for (let shopper = shoppers.pop(); shopper; shopper = shoppers.pop()) {
      let answer = await calls.buyUntilKnown(shopper, saleId, pickApi)
      // A flag may be up for a second.
      while (answer.code === 'sold-out' && (await unitsLeft(system, saleId)) > 0) {
        await pause(100)
        answer = await calls.buyUntilKnown(shopper, saleId, pickApi)
      }
    }
  }
  await Promise.all(Array.from({ length: BUYERS_AT_ONCE }, buyAll))
}

async function unitsLeft({ redis }: FaultSystem, saleId: number): Promise<number> {
  return Math.max(0, Number(await redis.hget(`{sale:${saleId}}:stock`, 'unitsLeft')))
}
