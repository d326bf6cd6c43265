import { HealthConfig, Secrets, SharedConfig } from '@blitzbuy/core/config'
import { Type, type Static } from 'typebox'

export const ApiConfig = Type.Object({
  ...SharedConfig.properties,
  ...HealthConfig.properties,
  HOST: Type.String({ default: '127.0.0.1', minLength: 1, description: 'the address the api listens on' }),
  PORT: Type.Integer({
    minimum: 0,
    maximum: 65_535,
    description: 'a port from 1 to 65535 (0: any free one)',
  }),
  PUBLIC_ORIGIN: Type.String({
    pattern: '^https?://[^/\\s]+$',
    description: 'the origin that shoppers see, without a path, e.g. https://shop.example',
  }),
  SESSION_SECRETS: Secrets,
  ORDER_ID_SECRETS: Secrets,
  PURCHASE_TOKEN_SECRETS: Secrets,
})
export type ApiConfig = Readonly<Static<typeof ApiConfig>>
