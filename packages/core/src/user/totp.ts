import { Secret, TOTP } from 'otpauth'

/** Every app has these settings; some know no others. */
const SETTINGS = { issuer: 'BlitzBuy', algorithm: 'SHA1', digits: 6, period: 30 } as const
const SECRET_BYTES = 20
const PERIOD_MS = SETTINGS.period * 1000
/** A phone's clock may be so many steps off. */
const SKEW_STEPS = 1

/** A new secret, as a person would type it into an app: base32. */
export function newTotpSecret(): string {
  return new Secret({ size: SECRET_BYTES }).base32
}

/** What the picture for the app says. */
export function totpUri(secret: string, label: string): string {
  return new TOTP({ ...SETTINGS, label, secret: Secret.fromBase32(secret) }).toString()
}

/** The code that an app shows at this moment. */
export function totpAt(secret: string, atMs: number): string {
  return new TOTP({ ...SETTINGS, secret: Secret.fromBase32(secret) }).generate({ timestamp: atMs })
}

/** The step that this code belongs to, if that is the current one or a neighbour; else undefined. In constant time. */
export function totpStep(secret: string, code: string, nowMs: number): number | undefined {
  const totp = new TOTP({ ...SETTINGS, secret: Secret.fromBase32(secret) })
  const delta = totp.validate({ token: code, timestamp: nowMs, window: SKEW_STEPS })
  return delta === null ? undefined : Math.floor(nowMs / PERIOD_MS) + delta
}
