import type { RowDataPacket } from 'mysql2/promise'

import type { Buy, Textbook } from './textbook.ts'

/** The row of the sale is locked for each purchase: right, and as fast as one transaction after the other. */
export function createBuyForUpdate({ mysql }: Pick<Textbook, 'mysql'>): Buy {
  return async (saleId, buyer) => {
    const connection = await mysql.getConnection()
    try {
      await connection.beginTransaction()
      const [[sale]] = await connection.query<RowDataPacket[]>(
        'SELECT quota, units_sold FROM textbook_sales WHERE id = ? FOR UPDATE',
        [saleId],
      )
      const isLeft = sale !== undefined && sale['units_sold'] < sale['quota']
      if (isLeft) {
        await connection.query('INSERT INTO textbook_orders (sale_id, buyer) VALUES (?, ?)', [saleId, buyer])
        await connection.query('UPDATE textbook_sales SET units_sold = units_sold + 1 WHERE id = ?', [saleId])
      }
      await connection.commit()
      return isLeft
    } catch (error) {
      await connection.rollback()
      throw error
    } finally {
      connection.release()
    }
  }
}
