import type { Redis } from 'ioredis'

import { UnexpectedReply } from '../errors.ts'
import { ORDERS_DECIDED, UNITS_ROSE, channelOf } from '../redis/channels.ts'
import { LIST_MAX, bindScript, type LuaScript } from '../redis/lua-script.ts'
import { stockKeys } from './stock-keys.ts'

/** What MySQL says about an order: it stands and holds units, it stood once, or it never will. */
export interface Decision {
  orderId: string
  userId: number
  quantity: number
  state: 'placed' | 'ended' | 'rejected'
}

/** How long Redis remembers how far an order came; longer than any message may still be on its way. */
export const OUTCOME_TTL_SECONDS = 1_200

/** The typed face of lua/settle.lua; read that file for the rules. */
export const settleScript = {
  file: 'settle',
  keys: ['stock', 'holds', 'holders', 'unsettled', 'unsettledDue', 'orderPrefix'],
  args: ['saleId', 'decidedAtMs', 'outcomeTtlSeconds', 'channel', 'decidedChannel'],
  entry: ['orderId', 'userId', 'quantity', 'state'],
  decode: decodeSettle,
} as const satisfies LuaScript

/** `decidedAtMs` is MySQL's clock at the moment the decisions were read or made. */
export type Settle = (
  saleId: number,
  decidedAtMs: number,
  decisions: readonly Decision[],
) => Promise<'settled' | 'stale'>

/** Any number of decisions: they are told in pages; `stale` means that the rest was not told. */
export function createSettle(redis: Redis): Settle {
  const run = bindScript(redis, settleScript)
  const channel = channelOf(redis, UNITS_ROSE)
  const decidedChannel = channelOf(redis, ORDERS_DECIDED)

  return async (saleId, decidedAtMs, decisions) => {
    for (let from = 0; from < decisions.length; from += LIST_MAX) {
      const page = decisions.slice(from, from + LIST_MAX).map((decision) => ({ ...decision }))
      const outcome = await run(
        stockKeys(saleId),
        { saleId, decidedAtMs, outcomeTtlSeconds: OUTCOME_TTL_SECONDS, channel, decidedChannel },
        page,
      )
      if (outcome === 'stale') return outcome
    }
    return 'settled'
  }
}

function decodeSettle(reply: unknown): 'settled' | 'stale' {
  if (reply === 'settled' || reply === 'stale') return reply
  throw new UnexpectedReply('settle', reply)
}
