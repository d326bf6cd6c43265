import { createOrders, type PlacedOrder } from '@blitzbuy/core/order/orders'
import { redisAnswer } from '@blitzbuy/core/redis/connect-redis'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import { parsePhone } from '@blitzbuy/core/user/phone'
import type { Command } from 'commander'
import type { RowDataPacket } from 'mysql2/promise'

import { StepFailed } from '../steps.mjs'
import { say, withSystem, type System } from './connect-system.ts'
import { saleId as saleIdOf } from './option-values.ts'

const HELP = `
  pnpm -s blitz order show 01KAXV3J2M8Q0ZP4R7T9W1Y5BD
  pnpm -s blitz order find --phone "+86 138 0013 8000"
  pnpm -s blitz order export --sale 7 --csv > orders.csv

Exit status: 0 done; 1 there is no such order or account, with the reason on stderr.
MYSQL_URL, REDIS_URL and NAMESPACE name the system; when none of them is set, it is the \`npm start\` that runs here.
`

const FOUND_MAX = 1_000
const EXPORT_PAGE = 1_000

export function registerOrder(blitz: Command): void {
  const order = blitz
    .command('order')
    .description('orders: shows one, finds those of a person, exports those of a sale')
    .helpCommand(false)
    .addHelpText('after', HELP)
  order
    .command('show')
    .description('one order, in MySQL and on its way there')
    .argument('<orderId>')
    .option('--json', 'one JSON object on stdout')
    .action(show)
  order
    .command('find')
    .description('the orders of whoever has this phone number, newest first')
    .requiredOption('--phone <number>', 'a US or Chinese phone number')
    .option('--json', 'one JSON object a line on stdout')
    .action(find)
  order
    .command('export')
    .description('every order of a sale, in the order of their ids')
    .requiredOption('--sale <id>', 'the sale', saleIdOf)
    .option('--csv', 'as CSV with a header; else one JSON object a line')
    .action(exportAll)
}

async function show(orderId: string, { json }: { json?: true }): Promise<void> {
  await withSystem(async (system) => {
    const order = await createOrders(system.mysql).find(orderId)
    if (!order) {
      const onTheWay = await findUnsettled(system, orderId)
      if (!onTheWay) throw new StepFailed(`There is no order ${orderId} in ${system.origin}.`)
      process.stdout.write(
        json
          ? `${JSON.stringify(onTheWay)}\n`
          : `order ${orderId}  queued, in the ledger of sale ${onTheWay.saleId}\n`,
      )
      return
    }
    for (const line of json ? [JSON.stringify(order)] : describe(order)) process.stdout.write(`${line}\n`)
  })
}

/** Reserved, and MySQL knows nothing of it yet. */
async function findUnsettled({ mysql, redis }: System, orderId: string) {
  const saleIds = await mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<(RowDataPacket & { id: number })[]>(
      'SELECT id FROM sales WHERE stock_epoch > 0 ORDER BY closes_at DESC LIMIT ?',
      [FOUND_MAX],
    )
    return rows.map((row) => row.id)
  })
  const entries = await redisAnswer(
    Promise.all(saleIds.map((saleId) => redis.hget(stockKeys(saleId).unsettled, orderId))),
  )
  const at = entries.findIndex((entry) => entry !== null)
  const saleId = saleIds[at]
  if (saleId === undefined) return undefined
  const [userId, quantity, reservedAtMs] = String(entries[at]).split(':').map(Number)
  return { orderId, saleId, state: 'queued', userId, quantity, reservedAtMs }
}

async function find({ phone, json }: { phone: string; json?: true }): Promise<void> {
  const e164 = parsePhone(phone)
  if (e164 === undefined) throw new StepFailed(`${phone} is no US or Chinese phone number.`)
  await withSystem(async ({ mysql, origin }) => {
    const [account] = await mysql.use(
      async ({ connection }) =>
        (
          await connection.query<(RowDataPacket & { id: number })[]>('SELECT id FROM users WHERE phone = ?', [
            e164,
          ])
        )[0],
    )
    if (!account) throw new StepFailed(`Nobody has the number ${phone} in ${origin}.`)
    const { orders } = await createOrders(mysql).listOf(account.id, undefined, FOUND_MAX)
    for (const order of orders)
      process.stdout.write(`${json ? JSON.stringify(order) : describe(order).slice(0, 2).join('  ')}\n`)
    say(`${orders.length} orders of user ${account.id}`)
  })
}

function describe(order: PlacedOrder): string[] {
  const moments = [
    ['placed', order.placedAtMs],
    ['pay before', order.state === 'awaiting_payment' ? order.payBeforeMs : undefined],
    ['paid', order.paidAtMs],
    ['ended', order.endedAtMs],
  ] as const
  return [
    `order ${order.orderId}  ${order.state}${order.reason ? ` (${order.reason})` : ''}`,
    `sale ${order.saleId}  ${order.quantity} × ${order.title ?? 'a sale that is gone'}  ${order.amountCents} ${order.currency} in minor units`,
    ...moments.flatMap(([what, ms]) => (ms === undefined ? [] : [`${what} ${new Date(ms).toISOString()}`])),
    ...(order.payment ? [`payment ${order.payment.paymentId} ${order.payment.state}`] : []),
    ...order.refunds.map(
      ({ state, amountCents, currency, cause }) => `refund ${state}: ${amountCents} ${currency}, ${cause}`,
    ),
  ]
}

const COLUMNS = {
  orderId: 'id',
  saleId: 'sale_id',
  userId: 'user_id',
  state: 'state',
  reason: 'reason',
  quantity: 'quantity',
  amountCents: 'amount_cents',
  currency: 'currency',
  reservedAt: 'reserved_at',
  placedAt: 'placed_at',
  paidAt: 'paid_at',
  endedAt: 'ended_at',
} as const

async function exportAll({ sale: saleId, csv }: { sale: number; csv?: true }): Promise<void> {
  const names = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[]
  const select = names.map((name) => `${COLUMNS[name]} AS ${name}`).join(', ')
  await withSystem(async ({ mysql }) => {
    if (csv) process.stdout.write(`${names.join(',')}\n`)
    let after = ''
    let count = 0
    for (;;) {
      const page = await mysql.use(
        async ({ connection }) =>
          (
            await connection.query<(RowDataPacket & Record<string, unknown>)[]>(
              `SELECT ${select} FROM orders WHERE sale_id = ? AND id > ? ORDER BY id LIMIT ?`,
              [saleId, after, EXPORT_PAGE],
            )
          )[0],
        10_000,
      )
      for (const row of page)
        process.stdout.write(
          `${csv ? names.map((name) => cell(row[name])).join(',') : JSON.stringify(row)}\n`,
        )
      count += page.length
      if (page.length < EXPORT_PAGE) break
      after = String(page.at(-1)?.['orderId'])
    }
    say(`${count} orders of sale ${saleId}`)
  })
}

/** RFC 4180; nothing in these columns is typed by a shopper, so no spreadsheet takes a cell for a formula. */
function cell(value: unknown): string {
  if (value === null || value === undefined) return ''
  const text = value instanceof Date ? value.toISOString() : String(value as string | number)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
