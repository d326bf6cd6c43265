import { parsePhoneNumberFromString } from 'libphonenumber-js/mobile'

export const REGIONS = ['US', 'CN'] as const
export type Region = (typeof REGIONS)[number]

/**
 * The one key of a phone number, in E.164, or undefined when it is no US or CN number.
 *
 * Any usual spelling is read: spaces, dashes, brackets, full-width digits, +86, 0086, 1 in front of a US number.
 * Where digits alone could be either, `region` decides; without one, 11 digits that begin with 1[3-9] are Chinese.
 */
export function parsePhone(input: string, region?: Region): string | undefined {
  // NFKC turns full-width digits and signs into plain ones.
  const text = input
    .normalize('NFKC')
    .trim()
    .replace(/^\+?00/, '+')
  if (text.length > 40) return undefined
  if (text.startsWith('+')) return numberIn(text, undefined)

  const digits = text.replaceAll(/\D/g, '')
  const first = region ?? (/^1[3-9]\d{9}$/.test(digits) ? 'CN' : 'US')
  return numberIn(text, first) ?? numberIn(text, first === 'CN' ? 'US' : 'CN')
}

/** Enough of a number for its owner to know it, and too little for anybody else: +86 138****8000. */
export function maskPhone(e164: string): string {
  return e164.startsWith('+86')
    ? `+86 ${e164.slice(3, 6)}****${e164.slice(-4)}`
    : `+1 (${e164.slice(2, 5)}) ***-${e164.slice(-4)}`
}

function numberIn(text: string, region: Region | undefined): string | undefined {
  const number = parsePhoneNumberFromString(
    text,
    region ? { defaultCountry: region, extract: false } : { extract: false },
  )
  if (!number?.isValid() || number.ext) return undefined
  return number.country === 'US' || number.country === 'CN' ? number.number : undefined
}
