import type { Problem } from '@blitzbuy/core/sale/sale-rules'
import type { Sale } from '@blitzbuy/core/sale/sales'

import { readField } from '../form-fields.ts'
import { minorDigits, utc, type FormProblem } from './show-page.ts'

/** The values of a sale that an operator sets, as their inputs are called. */
export const SALE_FIELDS = [
  'price',
  'listPrice',
  'quota',
  'unitsPerUser',
  'tokensPerUnit',
  'opensAt',
  'closesAt',
  'paymentWindowSeconds',
] as const
export type SaleField = (typeof SALE_FIELDS)[number]
export type SaleTexts = Record<SaleField, string>

/** What core calls them. */
const SETTING = {
  price: 'priceCents',
  listPrice: 'listPriceCents',
  quota: 'quota',
  unitsPerUser: 'unitsPerUser',
  tokensPerUnit: 'tokensPerUnit',
  opensAt: 'opensAtMs',
  closesAt: 'closesAtMs',
  paymentWindowSeconds: 'paymentWindowSeconds',
} as const satisfies Record<SaleField, Problem['field']>
export type SaleSetting = (typeof SETTING)[SaleField]

export type ReadValue = { value: number } | { problem: string }

export function settingOf(field: SaleField): SaleSetting {
  return SETTING[field]
}

export function readTexts(form: unknown, prefix = ''): SaleTexts {
  return Object.fromEntries(
    SALE_FIELDS.map((field) => [field, readField(form, prefix + field).trim()]),
  ) as SaleTexts
}

/** One input as the number that core wants. */
export function readSetting(field: SaleField, text: string, currency: string): ReadValue {
  if (text === '') return { problem: 'is required' }
  if (field === 'price' || field === 'listPrice') return readAmount(text, currency)
  if (field === 'opensAt' || field === 'closesAt') return readMoment(text)
  return /^\d{1,9}$/.test(text) ? { value: Number(text) } : { problem: 'must be a whole number' }
}

/** The inputs for a sale as it is. */
export function textsOf(sale: Pick<Sale, SaleSetting>, currency: string): SaleTexts {
  const digits = minorDigits(currency)
  const amount = (cents: number): string => (cents / 10 ** digits).toFixed(digits)
  return {
    price: amount(sale.priceCents),
    listPrice: amount(sale.listPriceCents),
    quota: String(sale.quota),
    unitsPerUser: String(sale.unitsPerUser),
    tokensPerUnit: String(sale.tokensPerUnit),
    opensAt: utc(sale.opensAtMs).replace(' ', 'T'),
    closesAt: utc(sale.closesAtMs).replace(' ', 'T'),
    paymentWindowSeconds: String(sale.paymentWindowSeconds),
  }
}

/** Problems of core, at the inputs that they are about. */
export function toFormProblems(problems: readonly Problem[]): FormProblem[] {
  return problems.map(({ field, message }) => ({
    field: SALE_FIELDS.find((own) => SETTING[own] === field) ?? field,
    message,
  }))
}

function readAmount(text: string, currency: string): ReadValue {
  const digits = minorDigits(currency)
  const [, whole = '', fraction = ''] = /^(\d{1,9})(?:\.(\d+))?$/.exec(text) ?? []
  if (whole === '' || fraction.length > digits)
    return {
      problem: digits === 0 ? 'must be a whole amount' : `must be an amount such as 49.${'9'.repeat(digits)}`,
    }
  return { value: Number(whole + fraction.padEnd(digits, '0')) }
}

/** What `datetime-local` sends, read as UTC; browsers leave seconds away that are zero. */
function readMoment(text: string): ReadValue {
  const match = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(?:\.\d+)?Z?$/.exec(text)
  const value = match ? Date.parse(`${match[1]}T${match[2]}${match[3] ?? ':00'}Z`) : Number.NaN
  return Number.isNaN(value) ? { problem: 'must be a moment such as 2026-12-01T10:00 (UTC)' } : { value }
}
