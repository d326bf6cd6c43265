import type { Redis } from 'ioredis'

import { UnexpectedReply } from '../errors.ts'
import type { PublishReservations } from '../rabbitmq/publish.ts'
import { LIST_MAX, bindScript, type LuaScript } from '../redis/lua-script.ts'
import { RESERVE_LIMITS } from '../stock/reserve.ts'
import { stockKeys } from '../stock/stock-keys.ts'
import type { Reservation } from './reservations-made.ts'

/** The typed face of lua/claim-unsettled.lua; read that file for the rules. */
export const claimUnsettledScript = {
  file: 'claim-unsettled',
  keys: ['unsettled', 'unsettledDue'],
  args: ['relayAfterMs', 'limit'],
  entry: [],
  decode: decodeClaim,
} as const satisfies LuaScript

interface Claimed extends Reservation {
  epoch: number
  /** How often it has been published again, this time included. */
  relays: number
}

const PUBLISH_DEADLINE_MS = 5_000
/** From here on a reservation travels alone, so that one that breaks the worker does not take others along. */
const ALONE_FROM_RELAYS = 3

/**
 * Publishes again what a sale's ledger has held for too long: an api died before it published, or the broker lost it.
 *
 * @returns how many reservations were published.
 * @throws StoreAway when the broker did not take them; they have their next turn after `relayAfterMs`.
 */
export type RelayUnsettled = (saleId: number) => Promise<number>

export function createRelayUnsettled(deps: {
  redis: Redis
  publish: PublishReservations
  relayAfterMs?: number
}): RelayUnsettled {
  const claim = bindScript(deps.redis, claimUnsettledScript)
  const relayAfterMs = deps.relayAfterMs ?? RESERVE_LIMITS.relayAfterMs

  return async (saleId) => {
    let published = 0
    for (;;) {
      const claimed = await claim(stockKeys(saleId), { relayAfterMs, limit: LIST_MAX })
      for (const group of inMessages(claimed)) {
        const message = { v: 1, saleId, epoch: group[0]?.epoch ?? 0, reservations: group.map(toReservation) }
        await deps.publish(Buffer.from(JSON.stringify(message)), PUBLISH_DEADLINE_MS)
        published += group.length
      }
      if (claimed.length < LIST_MAX) return published
    }
  }
}

function inMessages(claimed: Claimed[]): Claimed[][] {
  const together = claimed.filter((entry) => entry.relays < ALONE_FROM_RELAYS)
  const alone = claimed.filter((entry) => entry.relays >= ALONE_FROM_RELAYS).map((entry) => [entry])
  return together.length > 0 ? [together, ...alone] : alone
}

function toReservation({ orderId, userId, quantity, reservedAtMs, requestId }: Claimed): Reservation {
  return { orderId, userId, quantity, reservedAtMs, requestId }
}

function decodeClaim(reply: unknown): Claimed[] {
  const parts = reply as string[]
  const claimed: Claimed[] = []
  for (let at = 0; at < parts.length; at += 2) {
    const match = /^(\d+):(\d+):(\d+):(\d+):(\d+):(.*)$/.exec(parts[at + 1] ?? '')
    if (!match) throw new UnexpectedReply('claim-unsettled', reply)
    const [userId, quantity, reservedAtMs, epoch, relays] = match.slice(1, 6).map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ]
    claimed.push({
      orderId: parts[at] as string,
      userId,
      quantity,
      reservedAtMs,
      epoch,
      relays,
      requestId: match[6] as string,
    })
  }
  return claimed
}
