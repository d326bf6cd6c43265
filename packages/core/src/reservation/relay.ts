import type { Redis } from 'ioredis'

import { UnexpectedReply } from '../errors.ts'
import type { PublishReservations } from '../rabbitmq/publish.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import { LIST_MAX, bindScript, type LuaScript } from '../redis/lua-script.ts'
import { RESERVE_LIMITS } from '../stock/reserve.ts'
import { stockKeys } from '../stock/stock-keys.ts'
import type { Reservation } from './reservations-made.ts'

/** The typed face of lua/claim-unsettled.lua; read that file for the rules. */
export const claimUnsettledScript = {
  file: 'claim-unsettled',
  keys: ['unsettled', 'unsettledDue'],
  args: ['relayAfterMs', 'limit', 'isTaken'],
  entry: [],
  decode: decodeClaim,
} as const satisfies LuaScript

/** The typed face of lua/confirm-relayed.lua. */
export const confirmRelayedScript = {
  file: 'confirm-relayed',
  keys: ['unsettled'],
  args: [],
  entry: ['orderId'],
  decode: Number,
} as const satisfies LuaScript

interface Claimed extends Reservation {
  epoch: number
  /** How many of its messages were taken from the queue and decided nothing. */
  relays: number
}

const PUBLISH_DEADLINE_MS = 5_000
/** From here on a reservation travels alone, so that one that breaks the worker does not take others along. */
const ALONE_FROM_RELAYS = 3
/** Eight relays were taken from the queue, and the order is still undecided: nobody will ever decide it. */
const GIVE_UP_FROM_RELAYS = 9

/**
 * Publishes again what a sale's ledger has held for too long: an api died before it published, or the broker lost it.
 *
 * What eight workers have taken and not decided is rejected. While no worker takes messages nothing counts towards
 * that, however long it lasts.
 *
 * @returns how many reservations were published, and how many were given up.
 * @throws StoreAway when the broker did not take them; they have their next turn after `relayAfterMs`.
 */
export type RelayUnsettled = (saleId: number) => Promise<{ published: number; rejected: number }>

export function createRelayUnsettled(deps: {
  redis: Redis
  publish: PublishReservations
  /** Whether everything that was published before now has been taken from the queue by a worker. */
  isQueueTaken: () => Promise<boolean>
  /** Writes the rejected rows and settles them. */
  reject: (saleId: number, reservations: readonly Reservation[]) => Promise<void>
  relayAfterMs?: number
}): RelayUnsettled {
  const { redis, publish, isQueueTaken, reject } = deps
  const claim = bindScript(redis, claimUnsettledScript)
  const confirm = bindScript(redis, confirmRelayedScript)
  const relayAfterMs = deps.relayAfterMs ?? RESERVE_LIMITS.relayAfterMs

  async function publishGroup(saleId: number, group: readonly Claimed[]): Promise<void> {
    const message = { v: 1, saleId, epoch: group[0]?.epoch ?? 0, reservations: group.map(toReservation) }
    await publish(Buffer.from(JSON.stringify(message)), PUBLISH_DEADLINE_MS)
    const relayed = group.map(({ orderId }) => ({ orderId }))
    await confirm(stockKeys(saleId), {}, relayed)
  }

  return async (saleId) => {
    const done = { published: 0, rejected: 0 }
    if ((await redisAnswer(redis.hlen(stockKeys(saleId).unsettled))) === 0) return done
    // Asked once, before the first page: the messages that this run publishes must not count as taken.
    const isTaken = (await isQueueTaken()) ? 1 : 0
    for (;;) {
      const claimed = await claim(stockKeys(saleId), { relayAfterMs, limit: LIST_MAX, isTaken })
      const hopeless = claimed.filter((entry) => entry.relays >= GIVE_UP_FROM_RELAYS)
      if (hopeless.length > 0) await reject(saleId, hopeless.map(toReservation))
      done.rejected += hopeless.length

      const groups = inMessages(claimed.filter((entry) => entry.relays < GIVE_UP_FROM_RELAYS))
      const published = await Promise.allSettled(groups.map((group) => publishGroup(saleId, group)))
      const failed = published.find((outcome) => outcome.status === 'rejected')
      if (failed) throw failed.reason
      done.published += claimed.length - hopeless.length
      if (claimed.length < LIST_MAX) return done
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
    const match = /^(\d+):(\d+):(\d+):(\d+):(\d+)u?:(.*)$/.exec(parts[at + 1] ?? '')
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
