import type { Subject } from './blacklist-subject.ts'

/**
 * The keys of the blacklist. One hash tag for all of them: a strike that fills its measure puts the entry in the
 * same step.
 */
export function blacklistKeys() {
  return {
    entries: '{blacklist}:entries',
    expiries: '{blacklist}:expiries',
    version: '{blacklist}:version',
  }
}

/** Counts how often a rule was broken lately. */
export function strikesKey(rule: string, subject: Subject): string {
  return `{blacklist}:strikes:${rule}:${subject}`
}

/** Counts the requests of one bucket in its running window. */
export function limitKey(bucket: string): string {
  return `limit:${bucket}`
}

/** A challenge that waits for its answer. */
export function captchaKey(captchaId: string): string {
  return `captcha:${captchaId}`
}

/** How many challenges a user was given in the minute that runs. */
export function captchaCountKey(userId: number): string {
  return `captcha-count:${userId}`
}

/**
 * Who may try to buy in a sale. The braces are the hash tag of all keys of the sale, so that `reserve` may touch
 * `spent` together with the stock.
 */
export function tokenKeys(saleId: number) {
  const sale = `{sale:${saleId}}`
  return {
    places: `${sale}:token-places`,
    times: `${sale}:token-times`,
    spent: `${sale}:tokens-spent`,
  }
}
