import { writeAuditEntry, type Actor } from '@blitzbuy/core/mysql/audit-log'
import type { Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import type { BeforeAct } from '@blitzbuy/core/rabbitmq/dead-letters'

/** Before the act: an entry without its act misleads for a moment, an act without its entry for ever. */
export function auditDeadLetter(
  mysql: Mysql,
  action: 'dead-letter.replay' | 'dead-letter.drop',
  actor: Actor,
): BeforeAct {
  return ({ letterId, body: _body, ...details }) =>
    mysql.use(({ connection }) =>
      writeAuditEntry(connection, { actor, action, subject: `dead-letter:${letterId}`, details }),
    )
}
