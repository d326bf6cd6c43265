import type { SaleChange } from './change-sale.ts'

export interface Problem {
  field: keyof SaleChange | 'productId' | 'currency'
  message: string
}

const RANGES: Partial<Record<keyof SaleChange, { min: number; max: number }>> = {
  quota: { min: 1, max: 10_000_000 },
  priceCents: { min: 0, max: 100_000_000 },
  listPriceCents: { min: 0, max: 100_000_000 },
  unitsPerUser: { min: 1, max: 1_000 },
  tokensPerUnit: { min: 0, max: 10_000 },
  paymentWindowSeconds: { min: 30, max: 7 * 24 * 3600 },
}

/** What is wrong with these values whatever the sale is: all of it at once, each naming its field. */
export function findValueProblems(values: SaleChange): Problem[] {
  const problems: Problem[] = []
  for (const [field, { min, max }] of Object.entries(RANGES) as [
    keyof SaleChange,
    { min: number; max: number },
  ][]) {
    const value = values[field]
    if (value !== undefined && (!Number.isInteger(value) || Number(value) < min || Number(value) > max))
      problems.push({ field, message: `must be a whole number from ${min} to ${max}` })
  }
  return problems
}
