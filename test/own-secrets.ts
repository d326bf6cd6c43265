import { randomBytes } from 'node:crypto'

/** What an api needs that nobody may know: new ones for every run. */
export function ownSecrets() {
  return {
    SESSION_SECRETS: secret(),
    ORDER_ID_SECRETS: secret(),
    PURCHASE_TOKEN_SECRETS: secret(),
    PAYMENT_CALLBACK_SECRETS: secret(),
    SECOND_FACTOR_SECRETS: secret(),
  }
}

function secret(): string {
  return randomBytes(32).toString('base64url')
}
