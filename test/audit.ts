import type { RowDataPacket } from 'mysql2/promise'

import type { OwnStores } from '../packages/core/test/own-stores.ts'

export type AuditedStores = Pick<OwnStores, 'mysql' | 'redis'>

/**
 * The invariants of one sale at rest, I1 to I3, read from the stores themselves.
 *
 * It shares no code with the purchase path, so that a mistake there cannot hide itself here.
 *
 * @returns one line per violation; none when all is well.
 */
export async function audit(stores: AuditedStores, saleId: number): Promise<string[]> {
  const violations: string[] = []
  const demand = (isTrue: boolean, violation: string): void => {
    if (!isTrue) violations.push(violation)
  }

  const { sale, live, perUser } = await readMysql(stores, saleId)
  const liveUnits = live.reduce((sum, order) => sum + order.quantity, 0)
  demand(liveUnits <= sale.quota, `I1: ${liveUnits} live units, quota ${sale.quota}`)
  demand(liveUnits === sale.unitsSold, `I1: ${liveUnits} live units, units_sold ${sale.unitsSold}`)
  for (const { userId, orders, units } of perUser) {
    demand(
      orders === 1 && units <= sale.unitsPerUser,
      `I2: user ${userId} has ${orders} orders, ${units} units`,
    )
  }

  const key = (name: string): string => `{sale:${saleId}}:${name}`
  const unitsLeft = Number(await stores.redis.hget(key('stock'), 'unitsLeft'))
  const holds = await stores.redis.hgetall(key('holds'))
  const holders = await stores.redis.hgetall(key('holders'))
  demand(
    unitsLeft + liveUnits === sale.quota,
    `I3: ${unitsLeft} left + ${liveUnits} live, quota ${sale.quota}`,
  )
  demand((await stores.redis.hlen(key('unsettled'))) === 0, 'I3: the ledger is not empty')
  demand((await stores.redis.zcard(key('unsettled-due'))) === 0, 'I3: the relay’s list is not empty')
  demand(
    Object.keys(holds).length === live.length,
    `I3: ${Object.keys(holds).length} holds, ${live.length} live orders`,
  )
  demand(
    Object.keys(holders).length === live.length,
    `I3: ${Object.keys(holders).length} holders, ${live.length} live`,
  )
  for (const { orderId, userId, quantity } of live) {
    demand(holds[orderId] === `${userId}:${quantity}`, `I3: order ${orderId} has the hold ${holds[orderId]}`)
    demand(holders[userId] === orderId, `I3: user ${userId} is led to ${holders[userId]}, not to ${orderId}`)
  }
  return violations
}

/**
 * What must hold at any instant, whatever is on its way: I1 and I2 in MySQL, in one snapshot, and the rule of units in
 * Redis (units left + what is held = quota), in one step. A store that is away is passed over.
 */
export async function auditMoment(
  stores: AuditedStores,
  saleId: number,
): Promise<{ violations: string[]; storesRead: number }> {
  const [ofMysql, ofRedis] = await Promise.allSettled([
    readSnapshot(stores, saleId),
    stores.redis.eval(COUNT_UNITS, 2, `{sale:${saleId}}:stock`, `{sale:${saleId}}:holds`),
  ])
  const violations: string[] = []
  if (ofMysql.status === 'fulfilled') {
    const { quota, unitsSold, units, offenders, oddlyLive } = ofMysql.value
    if (units > quota) violations.push(`I1: ${units} live units, quota ${quota}, in one snapshot`)
    if (units !== unitsSold)
      violations.push(`I1: ${units} live units, units_sold ${unitsSold}, in one snapshot`)
    if (oddlyLive > 0) violations.push(`I1: ${oddlyLive} orders whose state and live differ`)
    if (offenders > 0) violations.push(`I2: ${offenders} users have more than they may`)
  }
  const counted = ofRedis.status === 'fulfilled' ? (ofRedis.value as [string, number, string] | null) : null
  if (counted) {
    const [unitsLeft, held, quota] = counted.map(Number) as [number, number, number]
    if (unitsLeft + held !== quota)
      violations.push(`I3: ${unitsLeft} left + ${held} held, quota ${quota}, in one step of Redis`)
  }
  const storesRead = [ofMysql, ofRedis].filter((one) => one.status === 'fulfilled').length
  return { violations, storesRead }
}

const COUNT_UNITS = `
local stock = redis.call('HMGET', KEYS[1], 'unitsLeft', 'quota')
if not stock[1] then return nil end
local held = 0
for _, hold in ipairs(redis.call('HVALS', KEYS[2])) do held = held + tonumber(hold:match(':(%d+)$')) end
return {stock[1], held, stock[2]}`

/** I7: nothing was reserved outside the window of its sale, by the clock of Redis. */
export async function auditWindow(stores: AuditedStores, saleId: number): Promise<string[]> {
  const rows = await query<{ id: string; reservedAt: Date }>(
    stores,
    `SELECT orders.id, orders.reserved_at AS reservedAt FROM orders JOIN sales ON sales.id = orders.sale_id
      WHERE sale_id = ? AND (reserved_at < opens_at OR reserved_at >= closes_at) AND COALESCE(reason, '') <> 'lost'`,
    [saleId],
  )
  return rows.map(({ id, reservedAt }) => `I7: order ${id} was reserved at ${reservedAt.toISOString()}`)
}

/**
 * I11: what the provider has taken belongs to exactly one paid order, or was given back; and nobody has paid with
 * money that was never taken. At rest: every callback is delivered and no refund is due.
 */
export async function auditMoney(stores: AuditedStores, saleId: number): Promise<string[]> {
  const captures = await query<{
    ref: string
    cents: number
    isRefunded: number
    payments: number
    paid: number
    refunded: number
  }>(
    stores,
    `SELECT captures.ref, captures.amount_cents AS cents, captures.refunded_at IS NOT NULL AS isRefunded,
            COUNT(payments.id) AS payments,
            COALESCE(SUM(payments.state = 'succeeded' AND orders.state = 'paid'
                         AND payments.captured_cents = captures.amount_cents), 0) + 0 AS paid,
            COALESCE(SUM(payments.state = 'refunded'), 0) + 0 AS refunded
       FROM sandbox_captures captures
       JOIN sandbox_payments began ON began.ref = SUBSTRING_INDEX(captures.ref, '-', 1)
       JOIN payments named ON named.id = began.payment_id
       JOIN orders ON orders.id = named.order_id AND orders.sale_id = ?
       LEFT JOIN payments ON payments.provider_ref = captures.ref
      GROUP BY captures.ref, captures.amount_cents, captures.refunded_at`,
    [saleId],
  )
  const odd = captures
    .filter(({ isRefunded, payments, paid, refunded }) =>
      isRefunded
        ? Number(refunded) !== 1 || Number(paid) !== 0
        : Number(payments) !== 1 || Number(paid) !== 1,
    )
    .map(
      ({ ref, cents, isRefunded, paid, refunded }) =>
        `I11: capture ${ref} of ${cents} cents: ${paid} paid orders, ${refunded} refunds, given back: ${isRefunded}`,
    )
  const paidOrders = await query<{ id: string; succeeded: number }>(
    stores,
    `SELECT orders.id, COUNT(captures.ref) AS succeeded FROM orders
       LEFT JOIN payments ON payments.order_id = orders.id AND payments.state = 'succeeded'
       LEFT JOIN sandbox_captures captures
         ON captures.ref = payments.provider_ref AND captures.refunded_at IS NULL
      WHERE orders.sale_id = ? AND orders.state = 'paid' GROUP BY orders.id HAVING COUNT(captures.ref) <> 1`,
    [saleId],
  )
  return [
    ...odd,
    ...paidOrders.map(({ id, succeeded }) => `I11: order ${id} is paid by ${succeeded} captures`),
  ]
}

/** Whether no callback and no refund is on its way: the moment from which `auditMoney` must find nothing. */
export async function isMoneyAtRest(stores: AuditedStores): Promise<boolean> {
  const [row] = await query<{ waiting: number }>(
    stores,
    `SELECT (SELECT COUNT(*) FROM sandbox_callbacks WHERE send_at IS NOT NULL)
          + (SELECT COUNT(*) FROM payments WHERE state = 'refund_due') AS waiting`,
    [],
  )
  return Number(row?.waiting) === 0
}

/** I6: every unit that came back has been sold again, once buyers have asked for all of them. */
export async function auditSoldOut(stores: AuditedStores, saleId: number): Promise<string[]> {
  const { sale, live } = await readMysql(stores, saleId)
  const units = live.reduce((sum, order) => sum + order.quantity, 0)
  return units === sale.quota
    ? []
    : [`I6: everything was asked for; ${units} of ${sale.quota} units are sold`]
}

/** Whether nothing of a sale is on its way any more: the moment from which `audit` must find nothing. */
export async function isAtRest(stores: AuditedStores, saleId: number): Promise<boolean> {
  const waiting = await stores.redis.hlen(`{sale:${saleId}}:unsettled`)
  const due = await stores.mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<RowDataPacket[]>(
      'SELECT id FROM orders WHERE sale_id = ? AND return_due = 1 LIMIT 1',
      [saleId],
    )
    return rows.length
  })
  return waiting === 0 && due === 0
}

type Row<T> = RowDataPacket & T

function query<T>(stores: AuditedStores, sql: string, values: unknown[]): Promise<T[]> {
  return stores.mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<Row<T>[]>(sql, values)
    return rows
  }, 10_000)
}

/** One statement, so that everything in it is of the same moment. */
async function readSnapshot(stores: AuditedStores, saleId: number) {
  const [row] = await query<{
    quota: number
    unitsSold: number
    units: number
    offenders: number
    oddlyLive: number
  }>(
    stores,
    `SELECT sales.quota, sales.units_sold AS unitsSold,
            COALESCE(SUM(held.units), 0) + 0 AS units,
            COALESCE(SUM(held.orders > 1 OR held.units > sales.units_per_user), 0) + 0 AS offenders,
            COALESCE(SUM(held.odd), 0) + 0 AS oddlyLive
       FROM sales
       LEFT JOIN (SELECT sale_id, user_id,
                         SUM(IF(state IN ('awaiting_payment', 'paid'), quantity, 0)) AS units,
                         SUM(state IN ('awaiting_payment', 'paid')) AS orders,
                         SUM((live IS NOT NULL) <> (state IN ('awaiting_payment', 'paid'))) AS odd
                    FROM orders WHERE sale_id = ? GROUP BY sale_id, user_id) held ON held.sale_id = sales.id
      WHERE sales.id = ? GROUP BY sales.id, sales.quota, sales.units_sold`,
    [saleId, saleId],
  )
  if (!row) throw new Error(`there is no sale ${saleId}`)
  const { quota, unitsSold, units, offenders, oddlyLive } = row
  return {
    quota,
    unitsSold,
    units: Number(units),
    offenders: Number(offenders),
    oddlyLive: Number(oddlyLive),
  }
}

function readMysql(stores: AuditedStores, saleId: number) {
  return stores.mysql.use(async ({ connection }) => {
    const [[sale]] = await connection.query<
      Row<{ quota: number; unitsSold: number; unitsPerUser: number }>[]
    >('SELECT quota, units_sold AS unitsSold, units_per_user AS unitsPerUser FROM sales WHERE id = ?', [
      saleId,
    ])
    if (!sale) throw new Error(`there is no sale ${saleId}`)
    const [live] = await connection.query<Row<{ orderId: string; userId: number; quantity: number }>[]>(
      `SELECT id AS orderId, user_id AS userId, quantity FROM orders
        WHERE sale_id = ? AND state IN ('awaiting_payment', 'paid')`,
      [saleId],
    )
    const [perUser] = await connection.query<Row<{ userId: number; orders: number; units: number }>[]>(
      `SELECT user_id AS userId, COUNT(*) AS orders, CAST(SUM(quantity) AS UNSIGNED) AS units FROM orders
        WHERE sale_id = ? AND state IN ('awaiting_payment', 'paid') GROUP BY user_id`,
      [saleId],
    )
    return { sale, live, perUser }
  }, 10_000)
}
