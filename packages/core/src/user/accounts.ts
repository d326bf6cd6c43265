import { eq } from 'drizzle-orm'

import { mysqlCode, type Mysql } from '../mysql/connect-mysql.ts'
import { users } from '../mysql/tables.ts'
import { hashPassword, verifyPassword, PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN } from './password.ts'
import { maskPhone, parsePhone, type Region } from './phone.ts'

export interface Account {
  userId: number
  nickname: string
  phoneMasked: string
  role: 'shopper' | 'operator'
}

export interface Credentials {
  phone: string
  region?: Region | undefined
  password: string
}

export type RegisterOutcome =
  | { kind: 'registered'; account: Account }
  | { kind: 'phone_taken' | 'phone_invalid' | 'password_weak' }

export interface Accounts {
  register(credentials: Credentials & { nickname?: string | undefined }): Promise<RegisterOutcome>
  /** The account, or undefined: nobody learns whether the phone number or the password was wrong. */
  authenticate(credentials: Credentials): Promise<Account | undefined>
}

export function createAccounts(mysql: Mysql): Accounts {
  return {
    async register({ phone, region, password, nickname }) {
      const e164 = parsePhone(phone, region)
      if (!e164) return { kind: 'phone_invalid' }
      if (password.length < PASSWORD_LENGTH_MIN || password.length > PASSWORD_LENGTH_MAX) {
        return { kind: 'password_weak' }
      }
      const row = {
        phone: e164,
        nickname: nickname?.trim() || maskPhone(e164),
        passwordHash: await hashPassword(password),
      }
      try {
        const [result] = await mysql.use(({ orm }) => orm.insert(users).values(row))
        return { kind: 'registered', account: toAccount({ ...row, id: result.insertId, role: 'shopper' }) }
      } catch (error) {
        // The unique index decides, so two registrations at once cannot both succeed.
        if (mysqlCode(error) === 'ER_DUP_ENTRY') return { kind: 'phone_taken' }
        throw error
      }
    },

    async authenticate({ phone, region, password }) {
      const e164 = parsePhone(phone, region)
      const [row] = e164
        ? await mysql.use(({ orm }) => orm.select().from(users).where(eq(users.phone, e164)).limit(1))
        : []
      const matches = await verifyPassword(row?.passwordHash, password)
      return row && matches ? toAccount(row) : undefined
    },
  }
}

function toAccount(row: { id: number; nickname: string; phone: string; role: Account['role'] }): Account {
  return { userId: row.id, nickname: row.nickname, phoneMasked: maskPhone(row.phone), role: row.role }
}
