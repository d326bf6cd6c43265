import { BuildConfig, HealthConfig, SharedConfig, TracingConfig } from '@blitzbuy/core/config'
import { Type, type Static } from 'typebox'

export const WarmerConfig = Type.Object({
  ...SharedConfig.properties,
  ...HealthConfig.properties,
  ...BuildConfig.properties,
  ...TracingConfig.properties,
  WARM_AHEAD_SECONDS: Type.Integer({
    minimum: 10,
    maximum: 86_400,
    default: 600,
    description: 'how many seconds (10 to 86400) before a sale opens its stock is put into Redis',
  }),
})
export type WarmerConfig = Readonly<Static<typeof WarmerConfig>>
