import type { ChangeOutcome, SaleChange } from '@blitzbuy/core/sale/change-sale'
import type { Problem } from '@blitzbuy/core/sale/sale-rules'
import type { Sale } from '@blitzbuy/core/sale/sales'
import type { StockSnapshot } from '@blitzbuy/core/stock/read-stock'

/** How an operator reads a sale: a line each, in the order in which one looks. */
export function describeSale(sale: Sale, stock: StockSnapshot | undefined): string[] {
  const inRedis = stock
    ? `${stock.unitsLeft} left of ${stock.quota} in Redis (${stock.state}, epoch ${stock.epoch}, revision ${stock.revision})`
    : 'not in Redis'
  return [
    `sale ${sale.saleId}  ${sale.title}`,
    `${sale.state}, revision ${sale.revision}`,
    `${sale.unitsSold} sold of ${sale.quota}`,
    inRedis,
    `opens ${utc(sale.opensAtMs)}`,
    `closes ${utc(sale.closesAtMs)}`,
    `${sale.priceCents} ${sale.currency} in minor units, ${sale.unitsPerUser} per user, ${sale.paymentWindowSeconds} s to pay`,
  ]
}

export function toJson(sale: Sale, stock: StockSnapshot | undefined): string {
  return JSON.stringify({ ...sale, stock: stock ?? null })
}

export function describeChange({ before, after }: Extract<ChangeOutcome, { kind: 'changed' }>): string[] {
  const fields = (Object.keys(before) as (keyof typeof before)[]).filter(
    (field) => field !== 'revision' && before[field] !== after[field],
  )
  return fields.map((field) => `${field}: ${value(field, before[field])} → ${value(field, after[field])}`)
}

export function describeProblems(problems: readonly Problem[]): string {
  return `Refused:\n${problems.map(({ field, message }) => `  - ${field}: ${message}`).join('\n')}`
}

function value(field: string, of: SaleChange[keyof SaleChange] | boolean): string {
  return field.endsWith('AtMs') ? utc(Number(of)) : String(of)
}

function utc(ms: number): string {
  return new Date(ms).toISOString()
}
