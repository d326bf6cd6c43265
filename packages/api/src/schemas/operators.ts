import type { DeadLetter } from '@blitzbuy/core/rabbitmq/dead-letters'
import { Type } from 'typebox'

const CLOSED = { additionalProperties: false } as const
const Cents = Type.Integer({ minimum: 0 })
const Count = Type.Integer({ minimum: 0 })
const Moment = Type.Integer({ minimum: 0, description: 'milliseconds since 1970' })

export const CodeBody = Type.Object({ code: Type.String({ minLength: 6, maxLength: 40 }) }, CLOSED)

export const ProductBody = Type.Object(
  {
    title: Type.String({ minLength: 1, maxLength: 120 }),
    description: Type.String({ maxLength: 4_000 }),
    imagePath: Type.String({ minLength: 1, maxLength: 255 }),
  },
  CLOSED,
)

/** Every value is absolute, so that a change that is sent twice is made once. */
const settings = {
  quota: Count,
  priceCents: Cents,
  listPriceCents: Cents,
  unitsPerUser: Count,
  tokensPerUnit: Count,
  opensAtMs: Moment,
  closesAtMs: Moment,
  paymentWindowSeconds: Count,
}

export const NewSaleBody = Type.Object(
  {
    productId: Type.Integer({ minimum: 1 }),
    currency: Type.String({ minLength: 3, maxLength: 3 }),
    quota: settings.quota,
    priceCents: settings.priceCents,
    opensAtMs: settings.opensAtMs,
    closesAtMs: settings.closesAtMs,
    listPriceCents: Type.Optional(settings.listPriceCents),
    unitsPerUser: Type.Optional(settings.unitsPerUser),
    tokensPerUnit: Type.Optional(settings.tokensPerUnit),
    paymentWindowSeconds: Type.Optional(settings.paymentWindowSeconds),
  },
  CLOSED,
)

const Revision = Type.Integer({ minimum: 1, description: 'the one you have seen' })
const Confirmation = Type.Integer({ description: "the sale's id once more" })

export const SaleChangeBody = Type.Object(
  {
    revision: Revision,
    confirm: Type.Optional(Confirmation),
    ...Object.fromEntries(Object.entries(settings).map(([name, schema]) => [name, Type.Optional(schema)])),
  },
  CLOSED,
)
/** What an object of optional numbers becomes above is lost to the types. */
export type SaleChangeFields = Partial<Record<keyof typeof settings, number>>

export const RevisionBody = Type.Object({ revision: Type.Optional(Revision) }, CLOSED)
export const RestockBody = Type.Object(
  { units: Type.Integer({ minimum: 1 }), revision: Type.Optional(Revision) },
  CLOSED,
)
export const CloseBody = Type.Object({ confirm: Confirmation, revision: Type.Optional(Revision) }, CLOSED)
export const ReconcileBody = Type.Object({ repair: Type.Boolean() }, CLOSED)

export const BlacklistBody = Type.Object(
  {
    kind: Type.Enum(['user', 'phone', 'address']),
    subject: Type.String({ minLength: 1, maxLength: 64 }),
    reason: Type.String({ minLength: 1, maxLength: 200 }),
    seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 * 366 * 24 * 3600 })),
  },
  CLOSED,
)
export const BlacklistRemoveBody = Type.Object(
  {
    kind: Type.Enum(['user', 'phone', 'address']),
    subject: Type.String({ minLength: 1, maxLength: 64 }),
    reason: Type.String({ minLength: 1, maxLength: 200 }),
  },
  CLOSED,
)

export function toDeadLetterAnswer({ body, ...letter }: DeadLetter) {
  return { ...letter, body: body.toString('utf8') }
}
