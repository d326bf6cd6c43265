import type { Redis } from 'ioredis'

import { redisAnswer } from '../redis/connect-redis.ts'
import { stockKeys } from './stock-keys.ts'

export interface StockSnapshot {
  state: 'warming' | 'open' | 'paused' | 'closed'
  unitsLeft: number
  quota: number
  epoch: number
  revision: number
  warmingSinceMs: number
}

const FIELDS = ['state', 'unitsLeft', 'quota', 'epoch', 'revision', 'warmingSinceMs'] as const

/** The Redis copy of each sale's stock as it stands, in one trip; undefined where there is none. */
export type ReadStocks = (saleIds: readonly number[]) => Promise<(StockSnapshot | undefined)[]>

export function createReadStocks(redis: Redis): ReadStocks {
  return (saleIds) =>
    Promise.all(
      saleIds.map(async (saleId) => {
        const [state, ...numbers] = await redisAnswer(redis.hmget(stockKeys(saleId).stock, ...FIELDS))
        if (state == null) return undefined
        const [unitsLeft, quota, epoch, revision, warmingSinceMs] = numbers.map(Number) as [
          number,
          number,
          number,
          number,
          number,
        ]
        return { state: state as StockSnapshot['state'], unitsLeft, quota, epoch, revision, warmingSinceMs }
      }),
    )
}
