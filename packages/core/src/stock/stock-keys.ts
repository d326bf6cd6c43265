/**
 * Every Redis key that belongs to one sale; the connection puts the namespace before them.
 *
 * The braces are a hash tag: on a cluster all of them land in one slot, which is what lets a script touch them
 * together.
 */
export function stockKeys(saleId: number) {
  const sale = `{sale:${saleId}}`
  return {
    stock: `${sale}:stock`,
    holds: `${sale}:holds`,
    holders: `${sale}:holders`,
    unsettled: `${sale}:unsettled`,
    unsettledDue: `${sale}:unsettled-due`,
    orderPrefix: `${sale}:order:`,
    cooldownPrefix: `${sale}:cooldown:`,
  }
}

/** The key that tells how far one order came. */
export function orderKey(saleId: number, orderId: string): string {
  return stockKeys(saleId).orderPrefix + orderId
}

/** The sales that have keys in Redis, also long after they have closed. */
export const KEPT_SALES_KEY = 'kept-sales'
