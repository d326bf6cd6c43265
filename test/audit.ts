import type { RowDataPacket } from 'mysql2/promise'

import type { OwnStores } from '../packages/core/test/own-stores.ts'

/**
 * The invariants of one sale at rest, read from the stores themselves.
 *
 * It shares no code with the purchase path, so that a mistake there cannot hide itself here.
 *
 * @returns one line per violation; none when all is well.
 */
export async function audit(stores: OwnStores, saleId: number): Promise<string[]> {
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

/** Whether nothing of a sale is on its way any more: the moment from which `audit` must find nothing. */
export async function isAtRest(stores: OwnStores, saleId: number): Promise<boolean> {
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

function readMysql(stores: OwnStores, saleId: number) {
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
