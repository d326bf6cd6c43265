import type { Redis } from 'ioredis'
import type { RowDataPacket } from 'mysql2/promise'

import { tokenKeys } from '../gate/gate-keys.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import { bindScript } from '../redis/lua-script.ts'
import type { Sale } from '../sale/sales.ts'
import { removeStockScript } from './build-stock.ts'
import { KEPT_SALES_KEY, stockKeys } from './stock-keys.ts'

/** Before the first key of a sale is written: what is not listed here is never relayed after its day, nor removed. */
export async function keepSale(redis: Redis, ...saleIds: number[]): Promise<void> {
  if (saleIds.length > 0) await redisAnswer(redis.sadd(KEPT_SALES_KEY, ...saleIds))
}

/** The sales that have keys in Redis, in no order. */
export async function listKeptSales(redis: Redis): Promise<number[]> {
  return (await redisAnswer(redis.smembers(KEPT_SALES_KEY))).map(Number)
}

/**
 * Removes a sale's keys a day after it closed, unless something is still on its way to MySQL or back.
 *
 * The keys of its orders go by themselves.
 */
export type RemoveStock = (
  sale: Pick<Sale, 'saleId' | 'stockEpoch'>,
) => Promise<'removed' | 'unsettled' | 'fenced' | 'return_due'>

export function createRemoveStock({ mysql, redis }: { mysql: Mysql; redis: Redis }): RemoveStock {
  const remove = bindScript(redis, removeStockScript)
  return async ({ saleId, stockEpoch }) => {
    const [due] = await mysql.use(async ({ connection }) => {
      const [rows] = await connection.query<RowDataPacket[]>(
        'SELECT id FROM orders WHERE return_due = 1 AND sale_id = ? LIMIT 1',
        [saleId],
      )
      return rows
    })
    if (due) return 'return_due'
    const outcome = await remove({ ...stockKeys(saleId), ...tokenKeys(saleId) }, { epoch: stockEpoch })
    if (outcome === 'removed') await redisAnswer(redis.srem(KEPT_SALES_KEY, saleId))
    return outcome
  }
}
