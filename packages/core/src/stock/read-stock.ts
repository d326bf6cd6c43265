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
  /** Grows whenever units became free. */
  seq: number
  /** When it was last compared with MySQL; 0 when that is due at once. */
  reconciledAtMs: number
  /** Of the Redis that this copy was built or last looked at in. */
  runId: string | undefined
}

const FIELDS = [
  'state',
  'unitsLeft',
  'quota',
  'epoch',
  'revision',
  'warmingSinceMs',
  'seq',
  'reconciledAtMs',
  'runId',
] as const

/** The Redis copy of each sale's stock as it stands, in one trip; undefined where there is none. */
export type ReadStocks = (saleIds: readonly number[]) => Promise<(StockSnapshot | undefined)[]>

export function createReadStocks(redis: Redis): ReadStocks {
  return (saleIds) =>
    Promise.all(
      saleIds.map(async (saleId) => {
        const values = await redisAnswer(redis.hmget(stockKeys(saleId).stock, ...FIELDS))
        const [state, unitsLeft, quota, epoch, revision, warmingSinceMs, seq, reconciledAtMs, runId] = values
        if (state == null) return undefined
        return {
          state: state as StockSnapshot['state'],
          unitsLeft: Number(unitsLeft),
          quota: Number(quota),
          epoch: Number(epoch),
          revision: Number(revision),
          warmingSinceMs: Number(warmingSinceMs),
          seq: Number(seq),
          reconciledAtMs: Number(reconciledAtMs ?? 0),
          runId: runId ?? undefined,
        }
      }),
    )
}
