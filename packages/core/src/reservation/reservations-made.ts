import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'

import { LIST_MAX } from '../redis/lua-script.ts'

const Id = Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 })

export const Reservation = Type.Object(
  {
    orderId: Type.String({ pattern: '^[0-9A-HJKMNP-TV-Z]{26}$' }),
    userId: Id,
    quantity: Type.Integer({ minimum: 1, maximum: 65_535 }),
    /** Redis' time, epoch ms. */
    reservedAtMs: Type.Integer({ minimum: 0, maximum: 2 ** 48 - 1 }),
    requestId: Type.String({ maxLength: 64 }),
  },
  { additionalProperties: false },
)
export type Reservation = Static<typeof Reservation>

/** The message `reservations.made`: what one call of `reserve` gave out, on its way to MySQL. */
export const ReservationsMade = Type.Object(
  {
    v: Type.Literal(1),
    saleId: Id,
    /** For tracing; nobody refuses by it. */
    epoch: Type.Integer({ minimum: 0 }),
    reservations: Type.Array(Reservation, { minItems: 1, maxItems: LIST_MAX }),
  },
  { additionalProperties: false },
)
export type ReservationsMade = Static<typeof ReservationsMade>

/** Order ids with the request that each came from, for log lines: how one purchase is followed over all processes. */
export function requestsOf({ reservations }: Pick<ReservationsMade, 'reservations'>): Record<string, string> {
  return Object.fromEntries(reservations.map(({ orderId, requestId }) => [orderId, requestId]))
}

const compiled = Compile(ReservationsMade)

/** The message in a body, or what is wrong with it. */
export function readReservationsMade(
  body: Buffer,
): { kind: 'message'; message: ReservationsMade } | { kind: 'unreadable'; problem: string } {
  let value: unknown
  try {
    value = JSON.parse(body.toString('utf8'))
  } catch {
    return { kind: 'unreadable', problem: 'the body is not JSON' }
  }
  if (compiled.Check(value)) return { kind: 'message', message: value }
  const [first] = compiled.Errors(value)
  return {
    kind: 'unreadable',
    problem: `${first?.instancePath ?? ''} ${first?.message ?? 'is not valid'}`.trim(),
  }
}
