import type { Redis } from 'ioredis'

import { UnexpectedReply } from '../errors.ts'
import { UNITS_ROSE, channelOf } from '../redis/channels.ts'
import { LIST_MAX, bindScript, type LuaScript } from '../redis/lua-script.ts'
import { OUTCOME_TTL_SECONDS } from './settle.ts'
import { stockKeys } from './stock-keys.ts'

/** The typed face of lua/return.lua; read that file for the rules. */
export const returnScript = {
  file: 'return',
  keys: ['stock', 'holds', 'holders', 'unsettled', 'unsettledDue', 'orderPrefix'],
  args: ['saleId', 'outcomeTtlSeconds', 'channel'],
  entry: ['orderId'],
  decode: decodeReturn,
} as const satisfies LuaScript

/** Gives back the units of orders that MySQL says have ended unpaid; repeating it changes nothing. */
export type ReturnStock = (saleId: number, orderIds: readonly string[]) => Promise<void>

export function createReturnStock(redis: Redis): ReturnStock {
  const run = bindScript(redis, returnScript)
  const channel = channelOf(redis, UNITS_ROSE)

  return async (saleId, orderIds) => {
    for (let from = 0; from < orderIds.length; from += LIST_MAX) {
      await run(
        stockKeys(saleId),
        { saleId, outcomeTtlSeconds: OUTCOME_TTL_SECONDS, channel },
        orderIds.slice(from, from + LIST_MAX).map((orderId) => ({ orderId })),
      )
    }
  }
}

function decodeReturn(reply: unknown): void {
  if (reply !== 'returned') throw new UnexpectedReply('return', reply)
}
