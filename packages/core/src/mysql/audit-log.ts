import type { Connection } from 'mysql2/promise'

/** Who has done something: an operator's account, or whoever sat at a terminal, e.g. `ops@host-3`. */
export type Actor = { userId: number } | { name: string }

export interface AuditEntry {
  actor: Actor
  /** What was done, e.g. `sale.pause`. */
  action: string
  /** What it was done to, e.g. `sale:7`. */
  subject: string
  /** Whatever tells the story: values before and after, a reason. */
  details?: Record<string, unknown>
}

/** Writes it inside the transaction of what it tells about: no act without an entry, no entry without an act. */
export async function writeAuditEntry(
  connection: Connection,
  { actor, action, subject, details }: AuditEntry,
): Promise<void> {
  await connection.query('INSERT INTO audit_log (actor_id, action, subject, details) VALUES (?, ?, ?, ?)', [
    'userId' in actor ? actor.userId : null,
    action,
    subject,
    JSON.stringify('name' in actor ? { ...details, actor: actor.name } : (details ?? {})),
  ])
}
