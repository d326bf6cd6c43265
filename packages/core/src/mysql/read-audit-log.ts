import type { RowDataPacket } from 'mysql2/promise'

import type { Mysql } from './connect-mysql.ts'

/** One act, as it was written when it was done. */
export interface AuditRecord {
  id: number
  atMs: number
  /** An account's name with its id, or who sat at a terminal; `system` for a rule. */
  actor: string
  action: string
  subject: string
  details: Record<string, unknown>
}

export interface AuditFilter {
  /** Exactly this, e.g. `sale:7`. */
  subject?: string | undefined
  /** All acts that begin so, e.g. `sale.`. */
  action?: string | undefined
  /** Only what is older than the entry with this id. */
  beforeId?: number | undefined
}

export interface AuditPage {
  entries: AuditRecord[]
  /** Where the next page begins, or undefined after the last one. */
  nextBeforeId: number | undefined
}

/** The newest first. */
export type ReadAuditLog = (filter: AuditFilter, limit: number) => Promise<AuditPage>

export function createReadAuditLog(mysql: Mysql): ReadAuditLog {
  return async ({ subject, action, beforeId }, limit) => {
    const conditions: string[] = ['TRUE']
    const values: unknown[] = []
    if (subject !== undefined) {
      conditions.push('subject = ?')
      values.push(subject)
    }
    if (action !== undefined) {
      // LOCATE, not LIKE: nothing in what was typed is a wildcard.
      conditions.push('LOCATE(?, action) = 1')
      values.push(action)
    }
    if (beforeId !== undefined) {
      conditions.push('audit_log.id < ?')
      values.push(beforeId)
    }
    type Row = RowDataPacket & {
      id: number
      at: Date
      actorId: number | null
      nickname: string | null
      action: string
      subject: string
      details: unknown
    }
    const rows = await mysql.use(async ({ connection }) => {
      const [found] = await connection.query<Row[]>(
        `SELECT audit_log.id, audit_log.created_at AS at, actor_id AS actorId, nickname, action, subject, details
           FROM audit_log LEFT JOIN users ON users.id = actor_id
          WHERE ${conditions.join(' AND ')} ORDER BY audit_log.id DESC LIMIT ?`,
        [...values, limit + 1],
      )
      return found
    })
    const entries = rows.slice(0, limit).map(({ at, actorId, nickname, details, ...same }) => {
      const { actor, ...rest } = readDetails(details)
      return { ...same, atMs: at.getTime(), actor: nameOf(actorId, nickname, actor), details: rest }
    })
    return { entries, nextBeforeId: rows.length > limit ? entries.at(-1)?.id : undefined }
  }
}

function nameOf(actorId: number | null, nickname: string | null, actor: unknown): string {
  if (actorId !== null) return `${nickname ?? 'account'} (#${actorId})`
  return typeof actor === 'string' ? actor : 'system'
}

/** MariaDB's JSON is text, MySQL's is parsed by the driver. */
function readDetails(details: unknown): Record<string, unknown> {
  const value: unknown = typeof details === 'string' ? JSON.parse(details) : details
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
