import type { RowDataPacket } from 'mysql2/promise'

import type { Mysql } from '../mysql/connect-mysql.ts'
import { maskPhone } from './phone.ts'

export interface Operator {
  userId: number
  nickname: string
  phoneMasked: string
  /** Whether a code of an app is asked for; without one the first thing to do is to set it up. */
  hasSecondFactor: boolean
}

/** Asked for every request of an operator: whoever loses the role is out at once, whatever their session says. */
export type FindOperator = (userId: number) => Promise<Operator | undefined>

export function createFindOperator(mysql: Mysql): FindOperator {
  return async (userId) => {
    const [[row]] = await mysql.use(({ connection }) =>
      connection.query<
        (RowDataPacket & { nickname: string; phone: string; role: string; confirmedAt: Date | null })[]
      >(
        `SELECT nickname, phone, role, confirmed_at AS confirmedAt
           FROM users LEFT JOIN second_factors ON second_factors.user_id = users.id
          WHERE users.id = ?`,
        [userId],
      ),
    )
    if (row?.role !== 'operator') return undefined
    return {
      userId,
      nickname: row.nickname,
      phoneMasked: maskPhone(row.phone),
      hasSecondFactor: row.confirmedAt !== null,
    }
  }
}
