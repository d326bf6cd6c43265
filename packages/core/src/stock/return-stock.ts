import type { Redis } from 'ioredis'

import { UnexpectedReply } from '../errors.ts'
import { UNITS_ROSE, channelOf } from '../redis/channels.ts'
import { LIST_MAX, bindScript, type LuaScript } from '../redis/lua-script.ts'
import { OUTCOME_TTL_SECONDS } from './settle.ts'
import { stockKeys } from './stock-keys.ts'

/** The typed face of lua/return.lua; read that file for the rules. */
export const returnScript = {
  file: 'return',
  keys: ['stock', 'holds', 'holders', 'unsettled', 'unsettledDue', 'orderPrefix', 'cooldownPrefix'],
  args: ['saleId', 'outcomeTtlSeconds', 'channel'],
  entry: ['orderId', 'coolingUserId', 'coolsUntilMs'],
  decode: decodeReturn,
} as const satisfies LuaScript

/** Who cancelled an order may not buy again in its sale until then. */
export interface Cooldown {
  orderId: string
  userId: number
  untilMs: number
}

/** Gives back the units of orders that MySQL says have ended unpaid; repeating it changes nothing. */
export type ReturnStock = (
  saleId: number,
  orderIds: readonly string[],
  cooldowns?: readonly Cooldown[],
) => Promise<void>

export function createReturnStock(redis: Redis): ReturnStock {
  const run = bindScript(redis, returnScript)
  const channel = channelOf(redis, UNITS_ROSE)

  return async (saleId, orderIds, cooldowns = []) => {
    const byOrder = new Map(cooldowns.map((cooldown) => [cooldown.orderId, cooldown]))
    for (let from = 0; from < orderIds.length; from += LIST_MAX) {
      await run(
        stockKeys(saleId),
        { saleId, outcomeTtlSeconds: OUTCOME_TTL_SECONDS, channel },
        orderIds.slice(from, from + LIST_MAX).map((orderId) => {
          const { userId = 0, untilMs = 0 } = byOrder.get(orderId) ?? {}
          return { orderId, coolingUserId: userId, coolsUntilMs: untilMs }
        }),
      )
    }
  }
}

function decodeReturn(reply: unknown): void {
  if (reply !== 'returned') throw new UnexpectedReply('return', reply)
}
