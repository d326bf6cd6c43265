import { createPurchaseTokens } from '@blitzbuy/core/gate/purchase-tokens'
import { createTokenPlaces } from '@blitzbuy/core/gate/token-places'
import type { Redis } from '@blitzbuy/core/redis/connect-redis'
import { createRedisClock } from '@blitzbuy/core/redis/redis-clock'
import type { Sale, Sales } from '@blitzbuy/core/sale/sales'

import { StepFailed } from '../steps.mjs'

export interface MakeTokensOptions {
  redis: Redis
  sales: Sales
  /** The api's own, or it would take none of the tokens. */
  purchaseTokenSecrets: string[]
  /** Load tests may take longer than a shopper has. */
  lifetimeMs?: number
}

const BATCH = 500

/**
 * Gives shoppers of one sale what a solved human check gives them: by the same script, with the same places.
 *
 * Calling it takes the cap off the sale's tokens: there are more made-up shoppers than real ones would get in.
 */
export async function createTokenMaker(saleId: number, options: MakeTokensOptions) {
  const { redis, sales, purchaseTokenSecrets, lifetimeMs } = options
  const found = await sales.find(saleId)
  if (!found) throw new StepFailed(`There is no sale ${saleId}.`)
  if (found.tokensPerUnit !== 0) await sales.setTokensPerUnit(saleId, 0)
  const sale: Sale = { ...found, tokensPerUnit: 0 }
  const places = createTokenPlaces({
    redis,
    tokens: createPurchaseTokens(purchaseTokenSecrets),
    clock: createRedisClock(redis),
    ...(lifetimeMs !== undefined && { lifetimeMs }),
  })

  async function issue(userId: number): Promise<string> {
    const token = await places.issue(sale, userId)
    if (token.kind !== 'held') throw new StepFailed(`Sale ${saleId} has no place for user ${userId}.`)
    return token.purchaseToken
  }

  return {
    /** How many tokens there were per unit before; 0 means that there was no cap. */
    tokensPerUnitBefore: found.tokensPerUnit,
    /** In the order of the users; one trip for each batch. */
    async makeTokens(userIds: readonly number[]): Promise<string[]> {
      const made: string[] = []
      for (let first = 0; first < userIds.length; first += BATCH) {
        made.push(...(await Promise.all(userIds.slice(first, first + BATCH).map(issue))))
      }
      return made
    },
  }
}
