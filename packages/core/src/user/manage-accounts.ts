import { randomBytes } from 'node:crypto'
import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise'

import { writeAuditEntry, type Actor } from '../mysql/audit-log.ts'
import { mysqlCode, type Mysql } from '../mysql/connect-mysql.ts'
import type { Account } from './accounts.ts'
import { hashPassword, isAcceptablePassword } from './password.ts'
import { maskPhone, parsePhone } from './phone.ts'
import type { Sessions } from './sessions.ts'

export interface NewAccount {
  phone: string
  password: string
  nickname?: string | undefined
  role: Account['role']
}

export type CreateAccountOutcome =
  | { kind: 'created'; userId: number }
  | { kind: 'phone_taken' | 'phone_invalid' | 'password_weak' }

/** What an operator does to accounts, each with its line in the audit log. */
export interface ManageAccounts {
  create(account: NewAccount, actor: Actor): Promise<CreateAccountOutcome>
  /** A new password; every session of the account ends. False when there is no such account. */
  resetPassword(userId: number, password: string, actor: Actor): Promise<boolean>
  /** Logs the account out everywhere. False when there is no such account. */
  endSessions(userId: number, actor: Actor): Promise<boolean>
  find(who: { userId: number } | { phone: string }): Promise<Account | undefined>
}

/** One that nobody else has thought of, for whoever gets it to change. */
export function newPassword(): string {
  return randomBytes(15).toString('base64url')
}

export function createManageAccounts({
  mysql,
  sessions,
}: {
  mysql: Mysql
  sessions: Pick<Sessions, 'endAllOf'>
}): ManageAccounts {
  return {
    async create({ phone, password, nickname, role }, actor) {
      const e164 = parsePhone(phone)
      if (e164 === undefined) return { kind: 'phone_invalid' }
      if (!isAcceptablePassword(password, e164)) return { kind: 'password_weak' }
      const passwordHash = await hashPassword(password)
      try {
        const userId = await mysql.transaction(async ({ connection }) => {
          const [{ insertId }] = await connection.query<ResultSetHeader>(
            'INSERT INTO users (phone, nickname, password_hash, role) VALUES (?, ?, ?, ?)',
            [e164, nickname?.trim() || maskPhone(e164), passwordHash, role],
          )
          await writeAuditEntry(connection, {
            actor,
            action: 'user.create',
            subject: `user:${insertId}`,
            details: { role },
          })
          return insertId
        })
        return { kind: 'created', userId }
      } catch (error) {
        if (mysqlCode(error) === 'ER_DUP_ENTRY') return { kind: 'phone_taken' }
        throw error
      }
    },

    async resetPassword(userId, password, actor) {
      const passwordHash = await hashPassword(password)
      const isThere = await mysql.transaction(async ({ connection }) => {
        const [result] = await connection.query<ResultSetHeader>(
          'UPDATE users SET password_hash = ? WHERE id = ?',
          [passwordHash, userId],
        )
        if (result.affectedRows === 0) return false
        await writeAuditEntry(connection, { actor, action: 'user.reset-password', subject: `user:${userId}` })
        return true
      })
      // After the change: a login with the old password that was under way has its session by now.
      if (isThere) await sessions.endAllOf(userId)
      return isThere
    },

    async endSessions(userId, actor) {
      if (!(await find(mysql, { userId }))) return false
      await sessions.endAllOf(userId)
      await mysql.use(({ connection }) =>
        writeAuditEntry(connection, { actor, action: 'user.logout-all', subject: `user:${userId}` }),
      )
      return true
    },

    find: (who) => find(mysql, who),
  }
}

async function find(mysql: Mysql, who: { userId: number } | { phone: string }): Promise<Account | undefined> {
  type Row = RowDataPacket & { userId: number; phone: string; nickname: string; role: Account['role'] }
  const [column, value] = 'userId' in who ? ['id', who.userId] : ['phone', parsePhone(who.phone) ?? '']
  const [row] = await mysql.use(
    async ({ connection }) =>
      (
        await connection.query<Row[]>(
          `SELECT id AS userId, phone, nickname, role FROM users WHERE ${column} = ?`,
          [value],
        )
      )[0],
  )
  return (
    row && { userId: row.userId, nickname: row.nickname, phoneMasked: maskPhone(row.phone), role: row.role }
  )
}
