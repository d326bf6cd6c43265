import { REGIONS } from '@blitzbuy/core/user/phone'
import { Type } from 'typebox'

const Phone = Type.String({ minLength: 1, maxLength: 40 })
const Region = Type.Optional(Type.Enum([...REGIONS]))
const Password = Type.String({ minLength: 1, maxLength: 256 })

export const LoginBody = Type.Object(
  { phone: Phone, region: Region, password: Password },
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
