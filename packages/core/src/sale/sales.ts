import { and, asc, desc, eq, gt, or, sql } from 'drizzle-orm'

import type { Mysql } from '../mysql/connect-mysql.ts'
import { products, sales } from '../mysql/tables.ts'

/** One product, at one price, for one window, with a quota; as MySQL has it. */
export interface Sale {
  saleId: number
  title: string
  description: string
  imagePath: string
  priceCents: number
  listPriceCents: number
  currency: string
  quota: number
  unitsSold: number
  unitsPerUser: number
  opensAtMs: number
  closesAtMs: number
  paymentWindowSeconds: number
  state: 'scheduled' | 'paused' | 'closed'
  revision: number
  stockEpoch: number
  /** Purchase tokens handed out per unit of the quota; 0 means no cap. */
  tokensPerUnit: number
}

export interface NewSale {
  productId: number
  priceCents: number
  listPriceCents: number
  currency: string
  quota: number
  unitsPerUser?: number
  tokensPerUnit?: number
  opensAt: Date
  closesAt: Date
  paymentWindowSeconds: number
}

export interface NewProduct {
  title: string
  description: string
  imagePath: string
}

export interface Sales {
  find(saleId: number): Promise<Sale | undefined>
  /** For the sale list: what is open or upcoming, soonest first, then what has closed, latest first. */
  list(limit: number): Promise<Sale[]>
  /**
   * Sales whose stock Redis must know: from `aheadMs` before the opening until a day after closing; and one that it
   * knows already although its opening has been put off, or it would open at the old time.
   */
  listToWarm(aheadMs: number): Promise<Sale[]>
  addProduct(product: NewProduct): Promise<number>
  /** @returns the new sale's id. */
  add(sale: NewSale): Promise<number>
  /** How many purchase tokens there are per unit from now on; 0 means no cap. */
  setTokensPerUnit(saleId: number, tokensPerUnit: number): Promise<void>
  /** The number of the next Redis copy, in MySQL before Redis hears of it. */
  nextStockEpoch(saleId: number): Promise<Sale | undefined>
}

const KEPT_AFTER_CLOSING_MS = 24 * 3600 * 1000

const COLUMNS = {
  saleId: sales.id,
  title: products.title,
  description: products.description,
  imagePath: products.imagePath,
  priceCents: sales.priceCents,
  listPriceCents: sales.listPriceCents,
  currency: sales.currency,
  quota: sales.quota,
  unitsSold: sales.unitsSold,
  unitsPerUser: sales.unitsPerUser,
  opensAt: sales.opensAt,
  closesAt: sales.closesAt,
  paymentWindowSeconds: sales.paymentWindowSeconds,
  state: sales.state,
  revision: sales.revision,
  stockEpoch: sales.stockEpoch,
  tokensPerUnit: sales.tokensPerUnit,
}

export function createSales(mysql: Mysql): Sales {
  return {
    async find(saleId) {
      const [row] = await mysql.use(({ orm }) =>
        orm
          .select(COLUMNS)
          .from(sales)
          .innerJoin(products, eq(products.id, sales.productId))
          .where(eq(sales.id, saleId))
          .limit(1),
      )
      return row && toSale(row)
    },

    async list(limit) {
      const rows = await mysql.use(({ orm }) =>
        orm
          .select(COLUMNS)
          .from(sales)
          .innerJoin(products, eq(products.id, sales.productId))
          .orderBy(
            desc(sql`${sales.closesAt} > UTC_TIMESTAMP(3)`),
            asc(sql`IF(${sales.closesAt} > UTC_TIMESTAMP(3), ${sales.opensAt}, NULL)`),
            desc(sales.closesAt),
          )
          .limit(limit),
      )
      return rows.map(toSale)
    },

    async listToWarm(aheadMs) {
      const rows = await mysql.use(({ orm }) =>
        orm
          .select(COLUMNS)
          .from(sales)
          .innerJoin(products, eq(products.id, sales.productId))
          .where(
            and(
              gt(
                sales.closesAt,
                sql`UTC_TIMESTAMP(3) - INTERVAL ${KEPT_AFTER_CLOSING_MS * 1000} MICROSECOND`,
              ),
              or(
                gt(sales.stockEpoch, 0),
                sql`${sales.opensAt} < UTC_TIMESTAMP(3) + INTERVAL ${aheadMs * 1000} MICROSECOND`,
              ),
            ),
          ),
      )
      return rows.map(toSale)
    },

    async addProduct(product) {
      const [result] = await mysql.use(({ orm }) => orm.insert(products).values(product))
      return result.insertId
    },

    async add(sale) {
      const [result] = await mysql.use(({ orm }) => orm.insert(sales).values(sale))
      return result.insertId
    },

    async setTokensPerUnit(saleId, tokensPerUnit) {
      await mysql.use(({ orm }) => orm.update(sales).set({ tokensPerUnit }).where(eq(sales.id, saleId)))
    },

    nextStockEpoch: (saleId) =>
      mysql.transaction(async ({ orm }) => {
        await orm
          .update(sales)
          .set({ stockEpoch: sql`${sales.stockEpoch} + 1` })
          .where(eq(sales.id, saleId))
        const [row] = await orm
          .select(COLUMNS)
          .from(sales)
          .innerJoin(products, eq(products.id, sales.productId))
          .where(eq(sales.id, saleId))
        return row && toSale(row)
      }),
  }
}

function toSale({
  opensAt,
  closesAt,
  ...row
}: Omit<Sale, 'opensAtMs' | 'closesAtMs'> & { opensAt: Date; closesAt: Date }): Sale {
  return { ...row, opensAtMs: opensAt.getTime(), closesAtMs: closesAt.getTime() }
}
