import {
  BuildConfig,
  CooldownConfig,
  HealthConfig,
  RulesConfig,
  SharedConfig,
  TracingConfig,
} from '@blitzbuy/core/config'
import { Type, type Static } from 'typebox'

export const WorkerConfig = Type.Object({
  ...SharedConfig.properties,
  ...HealthConfig.properties,
  ...BuildConfig.properties,
  ...TracingConfig.properties,
  PREFETCH: Type.Integer({
    minimum: 1,
    maximum: 1_000,
    default: 64,
    description: 'how many messages (1 to 1000) a worker holds at once, each with up to 256 reservations',
  }),
  ...CooldownConfig.properties,
  RULE_ORDER_UNPAID: RulesConfig.properties.RULE_ORDER_UNPAID,
})
export type WorkerConfig = Readonly<Static<typeof WorkerConfig>>
