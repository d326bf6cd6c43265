import { REGIONS } from '@blitzbuy/core/user/phone'
import { Type } from 'typebox'

const Phone = Type.String({ minLength: 1, maxLength: 40 })
const Region = Type.Optional(Type.Enum([...REGIONS]))
/** Wider than any password may be: decomposed characters are up to four code points until they are normalised. */
const Password = Type.String({ minLength: 1, maxLength: 512 })
/** The answer to a captcha, when one was asked for. */
const HumanCheck = {
  captchaId: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  answer: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
}

export const LoginBody = Type.Object(
  { phone: Phone, region: Region, password: Password, ...HumanCheck },
  { additionalProperties: false },
)

export const RegisterBody = Type.Object(
  {
    phone: Phone,
    region: Region,
    password: Password,
    nickname: Type.Optional(Type.String({ minLength: 1, maxLength: 40 })),
  },
  { additionalProperties: false },
)

export const AccountAnswer = Type.Object({
  userId: Type.Integer(),
  nickname: Type.String(),
  phoneMasked: Type.String(),
  role: Type.Enum(['shopper', 'operator']),
})

export const PasswordBody = Type.Object(
  { old: Password, new: Password, ...HumanCheck },
  { additionalProperties: false },
)

export const SessionParams = Type.Object({ sessionId: Type.String() })

export const SessionListAnswer = Type.Object({
  sessions: Type.Array(
    Type.Object({
      id: Type.String(),
      device: Type.String(),
      createdAtMs: Type.Integer(),
      createdAt: Type.String(),
      lastSeenAtMs: Type.Integer(),
      lastSeenAt: Type.String(),
      isThis: Type.Boolean(),
    }),
  ),
})
