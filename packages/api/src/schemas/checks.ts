import { Type } from 'typebox'

export const CaptchaBody = Type.Object(
  { kind: Type.Optional(Type.Enum(['image', 'work'])) },
  { additionalProperties: false },
)

export const CaptchaAnswer = Type.Object({
  captchaId: Type.String(),
  image: Type.Optional(Type.String()),
  work: Type.Optional(
    Type.Object({
      algorithm: Type.String(),
      challenge: Type.String(),
      salt: Type.String(),
      maxnumber: Type.Integer(),
    }),
  ),
  expiresAtMs: Type.Integer(),
})

export const PurchaseTokenBody = Type.Object(
  {
    captchaId: Type.String({ minLength: 1, maxLength: 64 }),
    answer: Type.String({ minLength: 1, maxLength: 64 }),
  },
  { additionalProperties: false },
)

export const PurchaseTokenAnswer = Type.Object({
  purchaseToken: Type.String(),
  notBeforeMs: Type.Integer(),
  expiresAtMs: Type.Integer(),
})
