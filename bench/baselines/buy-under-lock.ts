import type { RowDataPacket } from 'mysql2/promise'
import { Redlock } from 'redlock'

import type { Buy, Textbook } from './textbook.ts'

const LOCK_MS = 10_000
/** Patient: a buyer who gives up has not bought. */
const RETRIES = { retryCount: 10_000, retryDelay: 5, retryJitter: 5 }

/** A lock of redlock around read, check and write: no transaction, and every buyer waits for all before. */
export function createBuyUnderLock({ mysql, redis }: Pick<Textbook, 'mysql' | 'redis'>): Buy {
  const redlock = new Redlock([redis], RETRIES)
  return async (saleId, buyer) => {
    const lock = await redlock.acquire([`textbook:lock:${saleId}`], LOCK_MS)
    try {
      const [[sale]] = await mysql.query<RowDataPacket[]>(
        'SELECT quota, units_sold FROM textbook_sales WHERE id = ?',
        [saleId],
      )
      if (sale === undefined || sale['units_sold'] >= sale['quota']) return false
      await mysql.query('INSERT INTO textbook_orders (sale_id, buyer) VALUES (?, ?)', [saleId, buyer])
      await mysql.query('UPDATE textbook_sales SET units_sold = units_sold + 1 WHERE id = ?', [saleId])
      return true
    } finally {
      await lock.release()
    }
  }
}
