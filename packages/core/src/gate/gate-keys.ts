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
