import { InvalidArgumentError } from 'commander'

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Readers of what is typed behind an option; each throws what commander prints together with the option's name. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= min && number <= max) return number
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

export const saleId = wholeNumber(1, 2 ** 32 - 1)

/** A moment with its zone, or a time from now: 2026-12-01T10:00:00+08:00, +90s, +30m, +2h, +1d. */
export function moment(text: string): number {
  const [, amount, unit] = /^\+([1-9]\d{0,5})([smhd])$/.exec(text) ?? []
  if (amount && unit) return Date.now() + Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS]
  const isZoned = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)$/.test(text)
  const ms = isZoned ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(ms)) return ms
  throw new InvalidArgumentError(
    'It must be a moment with its zone, e.g. 2026-12-01T10:00:00+08:00, or a time from now such as +30m.',
  )
}
