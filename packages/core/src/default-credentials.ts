/** What stands in .env.example, or is what a store has before somebody has looked after it. */
const PLACEHOLDER =
  /change-?me|replace-with|^(?:password|passw0rd|secret|admin|root|guest|blitzbuy|test|123456)$/i
/** `ssss…`: long enough for the rule of length, and guessed at once. */
const ONE_CHARACTER = /^(.)\1*$/
const SECRETS = [
  'SESSION_SECRETS',
  'ORDER_ID_SECRETS',
  'PURCHASE_TOKEN_SECRETS',
  'PAYMENT_CALLBACK_SECRETS',
  'SECOND_FACTOR_SECRETS',
]
/** Long enough for any secret; what is longer is no default that somebody left in. */
const LOOKED_AT_MAX = 512

/**
 * The variables that hold a credential everybody knows. Empty where there is none.
 *
 * Only for production: the private stores of tests and of `npm start` are for one machine and one person.
 */
export function defaultCredentials(settings: Readonly<Record<string, unknown>>): string[] {
  const secrets = SECRETS.filter((name) => textOf(settings, name).split(',').some(isKnown))
  const urls = ['MYSQL_URL', 'REDIS_URL', 'AMQP_URL'].filter((name) =>
    hasKnownPassword(textOf(settings, name)),
  )
  return [...urls, ...secrets]
}

function hasKnownPassword(text: string): boolean {
  if (text === '' || !URL.canParse(text)) return false
  const { protocol, username, password } = new URL(text)
  // Redis asks for a password only where it was given one; the others always have users.
  if (password === '') return !protocol.startsWith('redis')
  return isKnown(decode(password)) || (username === 'guest' && password === 'guest')
}

function isKnown(secret: string): boolean {
  const start = secret.slice(0, LOOKED_AT_MAX)
  return PLACEHOLDER.test(start) || (start !== '' && ONE_CHARACTER.test(start))
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function textOf(settings: Readonly<Record<string, unknown>>, name: string): string {
  const value = settings[name]
  return typeof value === 'string' ? value : ''
}
