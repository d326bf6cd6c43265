import type { RowDataPacket } from 'mysql2/promise'

import { formatNetwork, parseNetwork } from '../ip-address.ts'
import { writeAuditEntry, type Actor } from '../mysql/audit-log.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import { parsePhone } from '../user/phone.ts'
import type { BlacklistEntries, PutOutcome } from './blacklist-entries.ts'
import { networkSubject, phoneSubject, userSubject, type Subject } from './blacklist-subject.ts'

/** Somebody to put on the blacklist, as an operator writes it. */
export type Named = { kind: 'user' | 'phone' | 'address'; text: string }

/** A wider range is a typing error that shuts out a continent. */
const PREFIX_MIN = { 4: 8, 6: 20 }

/**
 * The blacklist in the hands of an operator: every change is in the audit log.
 *
 * The entry there comes first: one without its act misleads for a moment, an act without its entry for ever.
 */
export interface ChangeBlacklist {
  add(
    subjects: readonly Subject[],
    entry: { reason: string; lastsMs?: number | undefined },
    actor: Actor,
  ): Promise<PutOutcome>
  /** @returns how many of them were on it. */
  remove(subjects: readonly Subject[], reason: string, actor: Actor): Promise<number>
  /** Whoever is logged in already is known by their account alone, so a number brings its account with it. */
  subjectsOf(named: Named): Promise<{ subjects: Subject[] } | { problem: string }>
}

export function createChangeBlacklist(deps: { mysql: Mysql; entries: BlacklistEntries }): ChangeBlacklist {
  const { mysql, entries } = deps

  async function audit(
    subjects: readonly Subject[],
    entry: { action: string; actor: Actor; details: Record<string, unknown> },
  ): Promise<void> {
    await mysql.transaction(async ({ connection }) => {
      for (const subject of subjects) await writeAuditEntry(connection, { ...entry, subject })
    })
  }

  return {
    async add(subjects, { reason, lastsMs }, actor) {
      const details = { reason, seconds: lastsMs === undefined ? null : Math.ceil(lastsMs / 1000) }
      await audit(subjects, { action: 'blacklist.add', actor, details })
      return entries.put(subjects.map((subject) => ({ subject, cause: 'operator', reason, lastsMs })))
    },

    async remove(subjects, reason, actor) {
      await audit(subjects, { action: 'blacklist.remove', actor, details: { reason } })
      return entries.remove(subjects)
    },

    async subjectsOf({ kind, text }) {
      if (kind === 'user') {
        return /^[1-9]\d{0,9}$/.test(text)
          ? { subjects: [userSubject(Number(text))] }
          : { problem: 'must be the number of an account' }
      }
      if (kind === 'address') return networkOf(text)
      const phone = parsePhone(text)
      if (phone === undefined) return { problem: 'is no US or Chinese phone number' }
      const [rows] = await mysql.use(({ connection }) =>
        connection.query<(RowDataPacket & { id: number })[]>('SELECT id FROM users WHERE phone = ?', [phone]),
      )
      return { subjects: [phoneSubject(phone), ...rows.map(({ id }) => userSubject(id))] }
    },
  }
}

function networkOf(text: string): { subjects: Subject[] } | { problem: string } {
  const network = parseNetwork(text)
  if (!network) return { problem: 'must be an address or a range, e.g. 198.51.100.0/24' }
  const { family, prefix } = network
  if (prefix < PREFIX_MIN[family])
    return { problem: `${formatNetwork(network)} is too wide: /${PREFIX_MIN[family]} at most` }
  // As networks are given out. Every length in use costs each look-up half a microsecond.
  if (family === 6 && prefix !== 128 && (prefix > 64 || prefix % 4 !== 0))
    return { problem: 'an IPv6 range is a /20, /24, … /64: a multiple of four' }
  return { subjects: [networkSubject(network)] }
}
