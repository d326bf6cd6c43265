import { StoreAway } from '@blitzbuy/core/errors'
import type { Orders } from '@blitzbuy/core/order/orders'
import type { RedisClock } from '@blitzbuy/core/redis/redis-clock'
import { salePhase, type SalePhase } from '@blitzbuy/core/sale/sale-phase'
import type { Sale, Sales } from '@blitzbuy/core/sale/sales'
import type { ReadStocks } from '@blitzbuy/core/stock/read-stock'
import { LRUCache } from 'lru-cache'

/** A sale as everybody sees it: no user data, the same for all within a second. */
export interface SaleView {
  saleId: number
  title: string
  description: string
  imageUrl: string
  priceCents: number
  listPriceCents: number
  currency: string
  opensAtMs: number
  closesAtMs: number
  phase: SalePhase
  quota: number
  /** In steps of one percent: the exact number of units left is nobody's business. */
  claimedPercent: number
  fewLeft: boolean
  /** Of a sale that has sold out: until then units may come back, because somebody has not paid yet. */
  unitsMayReturnUntilMs: number | undefined
  unitsPerUser: number
  paymentWindowSeconds: number
  state: Sale['state']
  tokensPerUnit: number
  nowMs: number
}

export interface SaleViews {
  find(saleId: number): Promise<SaleView | undefined>
  list(): Promise<SaleView[]>
}

const SHARED_FOR_MS = 1_000
const LIST_MAX = 100
const FEW_LEFT = 5

interface Known {
  sale: Sale
  unitsLeft: number | undefined
  lastPayBeforeMs: number | undefined
}

/**
 * Reads each sale once a second at most, however many people look at it.
 *
 * With MySQL away the last known view is served on; with Redis away the view comes without the units left.
 */
export function createSaleViews(deps: {
  sales: Sales
  readStocks: ReadStocks
  orders: Orders
  clock: RedisClock
}): SaleViews {
  const { sales, readStocks, orders, clock } = deps

  const known = new LRUCache<number | 'list', Known[]>({
    max: 1_000,
    ttl: SHARED_FOR_MS,
    allowStaleOnFetchRejection: true,
    fetchMethod: async (key) => {
      const found = key === 'list' ? await sales.list(LIST_MAX) : [await sales.find(key)]
      const present = found.filter((sale) => sale !== undefined)
      const stocks = await readStocks(present.map((sale) => sale.saleId)).catch(() => [])
      return Promise.all(
        present.map(async (sale, at) => {
          const unitsLeft = stocks[at]?.unitsLeft
          // Only the page of the sale says it.
          const isAsked = key !== 'list' && salePhase(sale, unitsLeft, clock.nowMs()) === 'sold_out'
          return { sale, unitsLeft, lastPayBeforeMs: isAsked ? await orders.lastPayBefore(key) : undefined }
        }),
      )
    },
  })

  const view = ({ sale, unitsLeft, lastPayBeforeMs }: Known): SaleView => {
    const nowMs = clock.nowMs()
    // Without a Redis copy (a sale long over) MySQL's count is what there is.
    const left = Math.max(0, unitsLeft ?? sale.quota - sale.unitsSold)
    return {
      saleId: sale.saleId,
      title: sale.title,
      description: sale.description,
      imageUrl: sale.imagePath,
      priceCents: sale.priceCents,
      listPriceCents: sale.listPriceCents,
      currency: sale.currency,
      opensAtMs: sale.opensAtMs,
      closesAtMs: sale.closesAtMs,
      phase: salePhase(sale, unitsLeft, nowMs),
      quota: sale.quota,
      claimedPercent: sale.quota === 0 ? 100 : Math.floor(((sale.quota - left) / sale.quota) * 100),
      fewLeft: left > 0 && left < FEW_LEFT,
      unitsMayReturnUntilMs: lastPayBeforeMs,
      unitsPerUser: sale.unitsPerUser,
      paymentWindowSeconds: sale.paymentWindowSeconds,
      state: sale.state,
      tokensPerUnit: sale.tokensPerUnit,
      nowMs,
    }
  }

  /** The cache answers a failed read with the last known view; without one it answers nothing. */
  const read = async (key: number | 'list'): Promise<Known[]> => {
    const found = await known.fetch(key)
    if (!found) throw new StoreAway('mysql', 'not-sent', new Error('the sale was never read'))
    return found
  }

  return {
    async find(saleId) {
      const [one] = await read(saleId)
      return one && view(one)
    },
    list: async () => (await read('list')).map(view),
  }
}
