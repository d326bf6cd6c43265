import { and, eq } from 'drizzle-orm'

import { mysqlCode, type Mysql } from '../mysql/connect-mysql.ts'
import { users } from '../mysql/tables.ts'
import type { HashLine } from './hash-line.ts'
import { hashPassword, isAcceptablePassword, verifyPassword, type Argon2 } from './password.ts'
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

/** An account with what its password is checked by. It never leaves core. */
export type StoredAccount = typeof users.$inferSelect

interface Overloaded {
  kind: 'overloaded'
  retryAfterMs: number
}

export type RegisterOutcome =
  | { kind: 'registered'; account: Account }
  | { kind: 'phone_taken' | 'phone_invalid' | 'password_weak' }
  | Overloaded

export type ChangePasswordOutcome = { kind: 'changed' | 'password_incorrect' | 'password_weak' } | Overloaded

export interface PasswordChange {
  userId: number
  old: string
  new: string
  /** Called before the new password is in force: if nobody can be logged out now, it is not changed. */
  beforeChange: () => Promise<void>
}

export interface Accounts {
  register(credentials: Credentials & { nickname?: string | undefined }): Promise<RegisterOutcome>
  changePassword(change: PasswordChange): Promise<ChangePasswordOutcome>
  find(e164: string): Promise<StoredAccount | undefined>
  /** The account if the password is its own, in the same time for an account that does not exist. */
  verify(stored: StoredAccount | undefined, password: string): Promise<Account | undefined>
}

export function createAccounts(mysql: Mysql, line: HashLine, argon2?: Argon2): Accounts {
  return {
    async register({ phone, region, password, nickname }) {
      const e164 = parsePhone(phone, region)
      if (!e164) return { kind: 'phone_invalid' }
      if (!isAcceptablePassword(password, e164)) return { kind: 'password_weak' }
      const place = line.join()
      if ('kind' in place) return place
      try {
        const row = {
          phone: e164,
          nickname: nickname?.trim() || maskPhone(e164),
          passwordHash: await place.inTurn(() => hashPassword(password, argon2)),
        }
        const [result] = await mysql.use(({ orm }) => orm.insert(users).values(row))
        return { kind: 'registered', account: toAccount({ ...row, id: result.insertId, role: 'shopper' }) }
      } catch (error) {
        // The unique index decides, so two registrations at once cannot both succeed.
        if (mysqlCode(error) === 'ER_DUP_ENTRY') return { kind: 'phone_taken' }
        throw error
      } finally {
        place.leave()
      }
    },

    async changePassword({ userId, old, new: chosen, beforeChange }) {
      if (!isAcceptablePassword(chosen)) return { kind: 'password_weak' }
      const place = line.join()
      if ('kind' in place) return place
      try {
        const [stored] = await mysql.use(({ orm }) =>
          orm.select().from(users).where(eq(users.id, userId)).limit(1),
        )
        const matches = await place.inTurn(() => verifyPassword(stored?.passwordHash, old, argon2))
        if (!stored || !matches) return { kind: 'password_incorrect' }
        if (!isAcceptablePassword(chosen, stored.phone)) return { kind: 'password_weak' }
        const passwordHash = await place.inTurn(() => hashPassword(chosen, argon2))
        await beforeChange()
        const [result] = await mysql.use(({ orm }) =>
          orm
            .update(users)
            .set({ passwordHash })
            // Of two changes at once the second one's old password is no longer right.
            .where(and(eq(users.id, userId), eq(users.passwordHash, stored.passwordHash))),
        )
        return { kind: result.affectedRows === 1 ? 'changed' : 'password_incorrect' }
      } finally {
        place.leave()
      }
    },

    async find(e164) {
      const [row] = await mysql.use(({ orm }) =>
        orm.select().from(users).where(eq(users.phone, e164)).limit(1),
      )
      return row
    },

    async verify(stored, password) {
      const matches = await verifyPassword(stored?.passwordHash, password, argon2)
      return stored && matches ? toAccount(stored) : undefined
    },
  }
}

function toAccount(row: { id: number; nickname: string; phone: string; role: Account['role'] }): Account {
  return { userId: row.id, nickname: row.nickname, phoneMasked: maskPhone(row.phone), role: row.role }
}
