import type { Text } from '../../messages/language.ts'
import { REFUSALS, type Refusal, type RefusalCode } from '../../refusals.ts'
import type { SaleView } from '../../sale-views.ts'

/** The part of an address that tells a sale page why the purchase was refused. */
export function noticeQuery({ code, details }: Refusal): string {
  const query = new URLSearchParams({ notice: code })
  const unitsLeft = details?.['unitsLeft']
  if (unitsLeft !== undefined) query.set('units', String(unitsLeft))
  return query.toString()
}

/** The words of a notice. Anybody can write an address: only codes of the catalogue and a small number get through. */
export function noticeText(query: Record<string, unknown>, sale: SaleView, text: Text): string | undefined {
  const { notice, units } = query
  if (notice === 'not-taken') return text('notice.not-taken')
  if (typeof notice !== 'string' || !isRefusalCode(notice)) return undefined
  const unitsLeft = typeof units === 'string' && /^\d{1,5}$/.test(units) ? units : undefined
  if (notice === 'too-few-left' && unitsLeft === undefined) return undefined
  return text(`refusal.${notice}`, { n: unitsLeft ?? sale.unitsPerUser })
}

function isRefusalCode(text: string): text is RefusalCode {
  return Object.hasOwn(REFUSALS, text)
}
