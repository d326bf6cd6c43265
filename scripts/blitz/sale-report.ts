import { readSaleReport } from '@blitzbuy/core/order/sale-report'
import { createSales } from '@blitzbuy/core/sale/sales'

import { StepFailed } from '../steps.mjs'
import { withSystem } from './connect-system.ts'

/** What is told of a sale afterwards: who came, how fast it went, what came of it, what operators did. */
export async function report(saleId: number, { json }: { json?: true }): Promise<void> {
  await withSystem(async ({ mysql, origin }) => {
    const sale = await createSales(mysql).find(saleId)
    if (!sale) throw new StepFailed(`There is no sale ${saleId} in ${origin}.`)
    const story = await readSaleReport(mysql, saleId, sale.quota)
    if (json) return print(JSON.stringify({ sale, ...story }))

    print(`sale ${saleId}  ${sale.title}`)
    print(`${moment(sale.opensAtMs)} to ${moment(sale.closesAtMs)}, ${sale.state}`)
    print(`${sale.unitsSold} of ${sale.quota} units sold, ${story.buyers} buyers`)
    if (story.firstReservedAtMs !== undefined)
      print(`first reserved ${moment(story.firstReservedAtMs)}, last ${moment(story.lastReservedAtMs ?? 0)}`)
    if (story.soldOutAtMs !== undefined)
      print(
        `as many as the quota reserved at ${moment(story.soldOutAtMs)}, ${seconds(story.soldOutAtMs - sale.opensAtMs)} after the opening`,
      )
    if (story.placedWithinMs)
      print(
        `placed within ${seconds(story.placedWithinMs.average)} on average, ${seconds(story.placedWithinMs.longest)} at most`,
      )
    print('orders')
    for (const { state, reason, orders, units, amountCents } of story.orders)
      print(
        `  ${state}${reason ? ` (${reason})` : ''}: ${orders}, ${units} units, ${money(amountCents, sale.currency)}`,
      )
    print('payments')
    for (const { state, payments, capturedCents } of story.payments)
      print(`  ${state}: ${payments}, ${money(capturedCents, sale.currency)} captured`)
    print('what operators did')
    for (const { atMs, action, actor, details } of story.changes)
      print(`  ${moment(atMs)}  ${action}  ${actor}  ${JSON.stringify(details)}`)
  })
}

function money(cents: number, currency: string): string {
  return new Intl.NumberFormat('en', { style: 'currency', currency }).format(
    cents / 10 ** (fractionDigits(currency) ?? 2),
  )
}

function fractionDigits(currency: string): number | undefined {
  return new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(3)} s`
}

function moment(ms: number): string {
  return new Date(ms).toISOString()
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
