import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise'

import { writeAuditEntry, type Actor } from '../mysql/audit-log.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import type { NewProduct } from './sales.ts'

export interface Product extends NewProduct {
  productId: number
  saleCount: number
}

export interface ProductProblem {
  field: keyof NewProduct
  message: string
}

interface Refused {
  kind: 'refused'
  problems: ProductProblem[]
}

/** What is sold. A change shows on every sale of the product within a second. */
export interface Products {
  find(productId: number): Promise<Product | undefined>
  /** The newest first. */
  list(limit: number): Promise<Product[]>
  create(product: NewProduct, actor: Actor): Promise<{ kind: 'created'; productId: number } | Refused>
  change(
    productId: number,
    product: NewProduct,
    actor: Actor,
  ): Promise<{ kind: 'changed' | 'unchanged' | 'not_found' } | Refused>
}

const TITLE_LENGTH_MAX = 120
const DESCRIPTION_LENGTH_MAX = 4_000
/** Below the site itself: a picture elsewhere would be refused by every browser, and tell that site who shops here. */
const IMAGE_PATH = /^\/assets\/[\w-]+(?:\/[\w-]+)*\.(?:svg|png|jpe?g|webp|avif)$/
const IMAGE_PATH_LENGTH_MAX = 255

const SELECT = `SELECT products.id AS productId, title, description, image_path AS imagePath,
  (SELECT COUNT(*) FROM sales WHERE sales.product_id = products.id) AS saleCount FROM products`

export function createProducts(mysql: Mysql): Products {
  type Row = RowDataPacket & Product

  return {
    async find(productId) {
      const [[row]] = await mysql.use(({ connection }) =>
        connection.query<Row[]>(`${SELECT} WHERE products.id = ?`, [productId]),
      )
      return row
    },

    async list(limit) {
      const [rows] = await mysql.use(({ connection }) =>
        connection.query<Row[]>(`${SELECT} ORDER BY products.id DESC LIMIT ?`, [limit]),
      )
      return rows
    },

    async create(product, actor) {
      const problems = findProductProblems(product)
      if (problems.length > 0) return { kind: 'refused', problems }
      return mysql.transaction(async ({ connection }) => {
        const [made] = await connection.query<ResultSetHeader>(
          'INSERT INTO products (title, description, image_path) VALUES (?, ?, ?)',
          [product.title, product.description, product.imagePath],
        )
        await writeAuditEntry(connection, {
          actor,
          action: 'product.create',
          subject: `product:${made.insertId}`,
          details: { after: product },
        })
        return { kind: 'created', productId: made.insertId }
      })
    },

    async change(productId, product, actor) {
      const problems = findProductProblems(product)
      if (problems.length > 0) return { kind: 'refused', problems }
      return mysql.transaction(async ({ connection }) => {
        const [[before]] = await connection.query<(RowDataPacket & NewProduct)[]>(
          'SELECT title, description, image_path AS imagePath FROM products WHERE id = ? FOR UPDATE',
          [productId],
        )
        if (!before) return { kind: 'not_found' }
        const fields = (['title', 'description', 'imagePath'] as const).filter(
          (field) => before[field] !== product[field],
        )
        if (fields.length === 0) return { kind: 'unchanged' }
        await connection.query(
          'UPDATE products SET title = ?, description = ?, image_path = ? WHERE id = ?',
          [product.title, product.description, product.imagePath, productId],
        )
        const pick = (from: NewProduct) => Object.fromEntries(fields.map((field) => [field, from[field]]))
        await writeAuditEntry(connection, {
          actor,
          action: 'product.change',
          subject: `product:${productId}`,
          details: { before: pick(before), after: pick(product) },
        })
        return { kind: 'changed' }
      })
    },
  }
}

function findProductProblems({ title, description, imagePath }: NewProduct): ProductProblem[] {
  const problems: ProductProblem[] = []
  if (title.trim() === '') problems.push({ field: 'title', message: 'is required' })
  else if (title.length > TITLE_LENGTH_MAX)
    problems.push({ field: 'title', message: `has ${TITLE_LENGTH_MAX} characters at most` })
  if (description.length > DESCRIPTION_LENGTH_MAX)
    problems.push({ field: 'description', message: `has ${DESCRIPTION_LENGTH_MAX} characters at most` })
  if (!IMAGE_PATH.test(imagePath) || imagePath.length > IMAGE_PATH_LENGTH_MAX)
    problems.push({
      field: 'imagePath',
      message: 'must be the path of a picture below /assets/, e.g. /assets/products/desk-lamp.svg',
    })
  return problems
}
