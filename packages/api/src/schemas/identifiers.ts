import { Type } from 'typebox'

/** A sale id in a path. What does not look like one is an unknown sale, not a malformed request. */
export const SaleParams = Type.Object({ saleId: Type.String() })
export const OrderParams = Type.Object({ orderId: Type.String() })

export function readSaleId(text: string): number | undefined {
  if (!/^[1-9]\d{0,9}$/.test(text)) return undefined
  const saleId = Number(text)
  return saleId < 2 ** 32 ? saleId : undefined
}
