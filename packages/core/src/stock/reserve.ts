import type { Redis } from 'ioredis'

import { UnexpectedReply } from '../errors.ts'
import { tokenKeys } from '../gate/gate-keys.ts'
import { bindScript, type LuaScript } from '../redis/lua-script.ts'
import { stockKeys } from './stock-keys.ts'

export interface ReserveRequest {
  orderId: string
  userId: number
  quantity: number
  requestId: string
  /** When the purchase token was issued that this try is made with. */
  tokenIssuedAtMs: number
}

export type ReserveOutcome =
  | { kind: 'reserved'; reservedAtMs: number }
  | { kind: 'already_reserved'; orderId: string }
  | { kind: 'sold_out' | 'too_few_left'; unitsLeft: number }
  | { kind: 'not_open'; opensAtMs: number }
  | { kind: 'over_limit'; unitsPerUser: number }
  /** The buyer has cancelled an order in this sale a moment ago. */
  | { kind: 'cooling_down'; retryAfterMs: number }
  /** The buyer's token has bought an order before, which has ended since. */
  | { kind: 'token_spent' }
  | { kind: 'closed' | 'paused' | 'not_warmed' | 'overloaded' | 'too_late' }

export interface ReserveAnswer {
  /** Redis' clock. */
  nowMs: number
  epoch: number
  seq: number
  /** One per request, in their order. */
  outcomes: ReserveOutcome[]
}

export interface ReserveLimits {
  /** Most reservations of one sale that may be on their way to MySQL. */
  ledgerCap: number
  /** How long a reservation may be unsettled before it is published again. */
  relayAfterMs: number
}

export const RESERVE_LIMITS: ReserveLimits = { ledgerCap: 100_000, relayAfterMs: 10_000 }

/** The typed face of lua/reserve.lua; read that file for the rules. */
export const reserveScript = {
  file: 'reserve',
  keys: ['stock', 'holds', 'holders', 'unsettled', 'unsettledDue', 'orderPrefix', 'spent', 'cooldownPrefix'],
  args: ['notAfterMs', 'ledgerCap', 'relayAfterMs'],
  entry: ['orderId', 'userId', 'quantity', 'requestId', 'tokenIssuedAtMs'],
  decode: decodeReserve,
} as const satisfies LuaScript

export type Reserve = (
  saleId: number,
  notAfterMs: number,
  requests: readonly ReserveRequest[],
) => Promise<ReserveAnswer>

/** @throws StoreAway with an `unknown` outcome: the units may have been taken; the relay finds out. */
export function createReserve(redis: Redis, limits: ReserveLimits = RESERVE_LIMITS): Reserve {
  const run = bindScript(redis, reserveScript)

  return (saleId, notAfterMs, requests) =>
    run(
      { ...stockKeys(saleId), spent: tokenKeys(saleId).spent },
      { notAfterMs, ledgerCap: limits.ledgerCap, relayAfterMs: limits.relayAfterMs },
      requests as readonly (ReserveRequest & Record<string, string | number>)[],
    )
}

function decodeReserve(reply: unknown): ReserveAnswer {
  if (!Array.isArray(reply)) throw new UnexpectedReply('reserve', reply)
  const told = reply as [nowMs: number, epoch: number, seq: number, opensAtMs: number, ...(string | number)[]]
  const [nowMs, epoch, seq, opensAtMs] = told
  const outcomes: ReserveOutcome[] = []
  for (let at = 4; at < told.length; at += 2)
    outcomes.push(decodeOutcome(String(told[at]), told[at + 1], opensAtMs))
  return { nowMs, epoch, seq, outcomes }
}

function decodeOutcome(kind: string, value: unknown, opensAtMs: number): ReserveOutcome {
  switch (kind) {
    case 'reserved':
      return { kind, reservedAtMs: Number(value) }
    case 'already_reserved':
      return { kind, orderId: String(value) }
    case 'sold_out':
    case 'too_few_left':
      return { kind, unitsLeft: Number(value) }
    case 'not_open':
      return { kind, opensAtMs }
    case 'over_limit':
      return { kind, unitsPerUser: Number(value) }
    case 'cooling_down':
      return { kind, retryAfterMs: Number(value) }
    case 'token_spent':
    case 'closed':
    case 'paused':
    case 'not_warmed':
    case 'overloaded':
    case 'too_late':
      return { kind }
    default:
      throw new UnexpectedReply('reserve', [kind, value])
  }
}
