import type { IssueCaptchaOutcome } from '@blitzbuy/core/gate/captchas'
import type { FastifyRequest } from 'fastify'
import { Type, type Static } from 'typebox'

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

/** `preValidation` of who takes a CaptchaBody: no body at all means a picture. */
export function imageIsDefault(request: FastifyRequest, _reply: unknown, done: () => void): void {
  request.body ??= {}
  done()
}

export function toCaptchaAnswer(
  challenge: Extract<IssueCaptchaOutcome, { kind: 'image' | 'work' }>,
  expiresAtMs: number,
): Static<typeof CaptchaAnswer> {
  const { captchaId } = challenge
  return challenge.kind === 'image'
    ? { captchaId, image: challenge.image, expiresAtMs }
    : { captchaId, work: challenge.work, expiresAtMs }
}

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
