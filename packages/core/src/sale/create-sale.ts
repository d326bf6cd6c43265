import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2/promise'

import { writeAuditEntry, type Actor } from '../mysql/audit-log.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import { findValueProblems, type Problem } from './sale-rules.ts'
import type { NewProduct } from './sales.ts'

export interface SaleDraft {
  /** An existing product, or the one to make. */
  product: { productId: number } | NewProduct
  priceCents: number
  listPriceCents: number
  currency: string
  quota: number
  unitsPerUser: number
  tokensPerUnit: number
  opensAtMs: number
  closesAtMs: number
  paymentWindowSeconds: number
}

export type CreateOutcome =
  /** In a dry run there is no id. */
  { kind: 'created'; saleId: number | undefined } | { kind: 'refused'; problems: Problem[] }

/** Puts a product on sale; the stock-warmer brings it into Redis in time. */
export type CreateSale = (
  draft: SaleDraft,
  by: { actor: Actor; isDryRun?: boolean },
) => Promise<CreateOutcome>

export function createCreateSale(mysql: Mysql, now: () => number = Date.now): CreateSale {
  return async (draft, { actor, isDryRun = false }) => {
    const problems = findDraftProblems(draft, now())
    if (problems.length > 0) return { kind: 'refused', problems }
    return mysql.transaction(async ({ connection }) => {
      const { product } = draft
      if ('productId' in product && !(await isKnown(connection, product.productId))) {
        const message = `there is no product ${product.productId}`
        return { kind: 'refused', problems: [{ field: 'productId', message }] }
      }
      if (isDryRun) return { kind: 'created', saleId: undefined }

      const productId = 'productId' in product ? product.productId : await insertProduct(connection, product)
      const saleId = await insertSale(connection, productId, draft)
      const details = { after: { ...draft, product: { productId } } }
      await writeAuditEntry(connection, { actor, action: 'sale.create', subject: `sale:${saleId}`, details })
      return { kind: 'created', saleId }
    })
  }
}

async function isKnown(connection: Connection, productId: number): Promise<boolean> {
  const [rows] = await connection.query<RowDataPacket[]>('SELECT id FROM products WHERE id = ?', [productId])
  return rows.length > 0
}

async function insertProduct(connection: Connection, product: NewProduct): Promise<number> {
  const [made] = await connection.query<ResultSetHeader>(
    'INSERT INTO products (title, description, image_path) VALUES (?, ?, ?)',
    [product.title, product.description, product.imagePath],
  )
  return made.insertId
}

async function insertSale(connection: Connection, productId: number, draft: SaleDraft): Promise<number> {
  const [made] = await connection.query<ResultSetHeader>(
    `INSERT INTO sales (product_id, price_cents, list_price_cents, currency, quota, units_per_user,
                        tokens_per_unit, opens_at, closes_at, payment_window_seconds)
     VALUES (?)`,
    [
      [
        productId,
        draft.priceCents,
        draft.listPriceCents,
        draft.currency,
        draft.quota,
        draft.unitsPerUser,
        draft.tokensPerUnit,
        new Date(draft.opensAtMs),
        new Date(draft.closesAtMs),
        draft.paymentWindowSeconds,
      ],
    ],
  )
  return made.insertId
}

function findDraftProblems(draft: SaleDraft, nowMs: number): Problem[] {
  const { product: _product, currency, ...values } = draft
  const problems = findValueProblems(values)
  if (!/^[A-Z]{3}$/.test(currency))
    problems.push({ field: 'currency', message: 'must be an ISO 4217 code such as USD or CNY' })
  if (draft.closesAtMs <= draft.opensAtMs)
    problems.push({ field: 'closesAtMs', message: 'a sale closes after it opens' })
  else if (draft.closesAtMs <= nowMs) problems.push({ field: 'closesAtMs', message: 'must be in the future' })
  return problems
}
