import type { Connection, RowDataPacket } from 'mysql2/promise'

import { writeAuditEntry, type Actor } from '../mysql/audit-log.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import { findValueProblems, type Problem } from './sale-rules.ts'
import type { Sale } from './sales.ts'

/** What an operator may set; each value is absolute, so that a change that is made twice is made once. */
export interface SaleChange {
  quota?: number
  opensAtMs?: number
  closesAtMs?: number
  state?: Sale['state']
  priceCents?: number
  listPriceCents?: number
  unitsPerUser?: number
  tokensPerUnit?: number
  paymentWindowSeconds?: number
}

/** The settings of a sale as they stand under its row's lock. */
export interface SaleSettings extends Required<SaleChange> {
  unitsSold: number
  revision: number
  /** Whether Redis has ever had a copy: from then on people may have seen the price. */
  isWarmed: boolean
}

export type ChangeOutcome =
  | { kind: 'changed'; before: SaleSettings; after: SaleSettings }
  /** It is like that already. */
  | { kind: 'unchanged'; settings: SaleSettings }
  | { kind: 'not_found' }
  /** Another operator was faster: these are the settings now. */
  | { kind: 'changed_meanwhile'; settings: SaleSettings }
  | { kind: 'refused'; problems: Problem[]; settings: SaleSettings }

export interface ChangeRequest {
  /** For the audit log, e.g. `sale.pause`. */
  action: string
  actor: Actor
  /** The change, or what makes it of the settings that stand, e.g. ten units more. */
  change: SaleChange | ((settings: SaleSettings) => SaleChange)
  /** The revision that the operator has seen; with another one nothing is changed. */
  expectedRevision?: number
  /** Tells what would happen, and changes nothing. */
  isDryRun?: boolean
}

/**
 * An operator's change of a sale, in MySQL; its revision grows by one, and Redis takes only a higher one.
 *
 * Two operators at once come one after the other, under the sale's row.
 */
export type ChangeSale = (saleId: number, request: ChangeRequest) => Promise<ChangeOutcome>

const COLUMN = {
  quota: 'quota',
  opensAtMs: 'opens_at',
  closesAtMs: 'closes_at',
  state: 'state',
  priceCents: 'price_cents',
  listPriceCents: 'list_price_cents',
  unitsPerUser: 'units_per_user',
  tokensPerUnit: 'tokens_per_unit',
  paymentWindowSeconds: 'payment_window_seconds',
} as const satisfies Record<keyof SaleChange, string>

export function createChangeSale(mysql: Mysql): ChangeSale {
  return (saleId, { action, actor, change, expectedRevision, isDryRun = false }) =>
    mysql.transaction(async ({ connection }) => {
      const locked = await lockSettings(connection, saleId)
      if (!locked) return { kind: 'not_found' }
      const { settings, nowMs } = locked
      if (expectedRevision !== undefined && expectedRevision !== settings.revision)
        return { kind: 'changed_meanwhile', settings }

      const wanted = differences(settings, typeof change === 'function' ? change(settings) : change)
      const fields = Object.keys(wanted) as (keyof SaleChange)[]
      if (fields.length === 0) return { kind: 'unchanged', settings }
      const problems = findProblems(settings, wanted, nowMs)
      if (problems.length > 0) return { kind: 'refused', problems, settings }

      const after = { ...settings, ...wanted, revision: settings.revision + 1 }
      if (!isDryRun) {
        await connection.query(
          `UPDATE sales SET ${fields.map((field) => `${COLUMN[field]} = ?`).join(', ')}, revision = revision + 1
            WHERE id = ?`,
          [...fields.map((field) => toColumn(field, wanted[field])), saleId],
        )
        await writeAuditEntry(connection, {
          actor,
          action,
          subject: `sale:${saleId}`,
          details: {
            revision: after.revision,
            before: Object.fromEntries(fields.map((field) => [field, settings[field]])),
            after: wanted,
          },
        })
      }
      return { kind: 'changed', before: settings, after }
    })
}

async function lockSettings(
  connection: Connection,
  saleId: number,
): Promise<{ settings: SaleSettings; nowMs: number } | undefined> {
  type Row = RowDataPacket &
    Omit<SaleSettings, 'opensAtMs' | 'closesAtMs' | 'isWarmed'> & {
      opensAt: Date
      closesAt: Date
      stockEpoch: number
      now: Date
    }
  const [[row]] = await connection.query<Row[]>(
    `SELECT UTC_TIMESTAMP(3) AS now, quota, opens_at AS opensAt, closes_at AS closesAt, state, price_cents AS priceCents,
            list_price_cents AS listPriceCents, units_per_user AS unitsPerUser, tokens_per_unit AS tokensPerUnit,
            payment_window_seconds AS paymentWindowSeconds, units_sold AS unitsSold, revision, stock_epoch AS stockEpoch
       FROM sales WHERE id = ? FOR UPDATE`,
    [saleId],
  )
  if (!row) return undefined
  const { now, opensAt, closesAt, stockEpoch, ...settings } = row
  return {
    nowMs: now.getTime(),
    settings: {
      ...settings,
      opensAtMs: opensAt.getTime(),
      closesAtMs: closesAt.getTime(),
      isWarmed: stockEpoch > 0,
    },
  }
}

function differences(settings: SaleSettings, change: SaleChange): SaleChange {
  return Object.fromEntries(
    Object.entries(change).filter(
      ([field, value]) => value !== undefined && value !== settings[field as keyof SaleChange],
    ),
  )
}

function toColumn(field: keyof SaleChange, value: SaleChange[keyof SaleChange]): unknown {
  return field === 'opensAtMs' || field === 'closesAtMs' ? new Date(value as number) : value
}

/** All of them at once, each naming its field. */
function findProblems(settings: SaleSettings, wanted: SaleChange, nowMs: number): Problem[] {
  const problems: Problem[] = []
  const fields = Object.keys(wanted) as (keyof SaleChange)[]
  const complain = (field: keyof SaleChange, message: string): void => void problems.push({ field, message })

  // Its buyers were told so, and its stock is being put away.
  if (settings.state === 'closed' || settings.closesAtMs <= nowMs)
    return fields.map((field) => ({ field, message: 'the sale is over: make a new one' }))

  problems.push(...findValueProblems(wanted))
  const { quota, opensAtMs, closesAtMs } = { ...settings, ...wanted }
  if (wanted.quota !== undefined && quota < settings.unitsSold)
    complain('quota', `cannot be less than the ${settings.unitsSold} units that are sold`)
  for (const field of ['priceCents', 'unitsPerUser'] as const) {
    if (settings.isWarmed && wanted[field] !== undefined)
      complain(field, 'is fixed: the sale has been shown to shoppers with it')
  }
  if (wanted.opensAtMs !== undefined && settings.opensAtMs <= nowMs)
    complain('opensAtMs', 'is past: the sale has opened; pause it instead')
  if (wanted.closesAtMs !== undefined && closesAtMs <= nowMs)
    complain('closesAtMs', 'must be in the future; close the sale to end it now')
  if (closesAtMs <= opensAtMs)
    complain(wanted.closesAtMs === undefined ? 'opensAtMs' : 'closesAtMs', 'a sale closes after it opens')
  return problems
}
