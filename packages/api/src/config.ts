import {
  HealthConfig,
  RulesConfig,
  Secrets,
  SharedConfig,
  TrustedProxies,
  limitSetting,
} from '@blitzbuy/core/config'
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
  HEADERS_TIMEOUT_MS: timeout('a connection may take to send the headers of a request', 10_000),
  REQUEST_TIMEOUT_MS: timeout('a request may take to arrive, its body included', 15_000),
  IDLE_TIMEOUT_MS: timeout('a connection may be silent before it is closed', 30_000),
  SESSION_SECRETS: Secrets,
  ORDER_ID_SECRETS: Secrets,
  TRUSTED_PROXIES: TrustedProxies,
  // Shared by all instances. Many people may stand behind one address, so it has many times what a user has.
  LIMIT_AUTH_ADDRESS: limitSetting('300/60'),
  LIMIT_AUTH_USER: limitSetting('30/60'),
  LIMIT_CHALLENGE_ADDRESS: limitSetting('1200/60'),
  LIMIT_CHALLENGE_USER: limitSetting('20/60'),
  // Of each instance.
  LIMIT_PURCHASE_ADDRESS: limitSetting('2000/10'),
  LIMIT_PURCHASE_USER: limitSetting('60/10'),
  LIMIT_PURCHASE_RETRY: limitSetting('10/10'),
  LIMIT_NOT_FOUND: limitSetting('300/60'),
  ...RulesConfig.properties,
})
export type ApiConfig = Readonly<Static<typeof ApiConfig>>

function timeout(what: string, defaultMs: number) {
  return Type.Integer({
    minimum: 100,
    maximum: 600_000,
    default: defaultMs,
    description: `how many milliseconds ${what}, from 100 to 600000`,
  })
}
