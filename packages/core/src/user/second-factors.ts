import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2/promise'

import { writeAuditEntry, type Actor } from '../mysql/audit-log.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import { hashRecoveryCode, newRecoveryCodes, readRecoveryCode } from './recovery-codes.ts'
import type { Sealer } from './sealed-secret.ts'
import { newTotpSecret, totpStep, totpUri } from './totp.ts'

/** What the app must know; shown until the first code has come. */
export interface Enrolment {
  secret: string
  /** The same for a picture. */
  uri: string
}

export type CodeOutcome =
  | { kind: 'verified' }
  | { kind: 'incorrect'; triesLeft: number }
  /** Too many wrong codes: nothing is tried until then. */
  | { kind: 'locked'; retryAfterMs: number }

export type ConfirmOutcome =
  | { kind: 'confirmed'; recoveryCodes: string[] }
  | Exclude<CodeOutcome, { kind: 'verified' }>
  /** It was confirmed before, or never begun. */
  | { kind: 'not_begun' }

/**
 * The second factor of operators.
 *
 * Whether a code counts is decided under its row's lock: of two at once with the same code one is refused, and a
 * thousand guesses at once are five.
 *
 *     none ── begin ──► begun ── confirm ──► confirmed ── reset ──► none
 */
export interface SecondFactors {
  /** Makes a secret, or shows the one that waits for its first code; undefined once one is confirmed. */
  begin(userId: number, label: string): Promise<Enrolment | undefined>
  /** The first code: from now on it is asked for. The recovery codes are shown this once. */
  confirm(userId: number, code: string): Promise<ConfirmOutcome>
  /** A code of the app, or a recovery code; each is good for one time. */
  verify(userId: number, code: string): Promise<CodeOutcome>
  /** For whoever has lost the app and the recovery codes: begin again. False when there was none. */
  reset(userId: number, actor: Actor): Promise<boolean>
}

export const WRONG_CODES_MAX = 5
export const WRONG_CODES_WINDOW_MS = 15 * 60_000

interface Row {
  now: Date
  sealedSecret: string
  confirmedAt: Date | null
  lastStep: number
  wrongTries: number
  triesSince: Date | null
}

export function createSecondFactors({ mysql, sealer }: { mysql: Mysql; sealer: Sealer }): SecondFactors {
  const owner = (userId: number): string => `user:${userId}`

  return {
    begin: (userId, label) =>
      mysql.transaction(async ({ connection }) => {
        const secret = newTotpSecret()
        // Two at once would else be shown two secrets, one of which is worth nothing.
        await connection.query<ResultSetHeader>(
          `INSERT INTO second_factors (user_id, sealed_secret) VALUES (?, ?)
               ON DUPLICATE KEY UPDATE user_id = user_id`,
          [userId, sealer.seal(secret, owner(userId))],
        )
        const row = await lockRow(connection, userId)
        if (!row || row.confirmedAt) return undefined
        const begun = sealer.open(row.sealedSecret, owner(userId))
        return { secret: begun, uri: totpUri(begun, label) }
      }),

    confirm: (userId, code) =>
      mysql.transaction(async ({ connection }) => {
        const row = await lockRow(connection, userId)
        if (!row || row.confirmedAt) return { kind: 'not_begun' }
        const lock = lockOf(row)
        if (lock) return lock
        const step = stepOf(row, userId, code)
        if (step === undefined) return countWrong(connection, userId, row)
        await connection.query(
          'UPDATE second_factors SET confirmed_at = ?, last_step = ?, wrong_tries = 0 WHERE user_id = ?',
          [row.now, step, userId],
        )
        const recoveryCodes = newRecoveryCodes()
        await connection.query('DELETE FROM recovery_codes WHERE user_id = ?', [userId])
        await connection.query('INSERT INTO recovery_codes (user_id, code_hash) VALUES ?', [
          recoveryCodes.map((each) => [userId, hashRecoveryCode(each)]),
        ])
        await audit(connection, userId, 'second-factor.confirm')
        return { kind: 'confirmed', recoveryCodes }
      }),

    verify: (userId, code) =>
      mysql.transaction(async ({ connection }) => {
        const row = await lockRow(connection, userId)
        if (!row?.confirmedAt) return { kind: 'incorrect', triesLeft: WRONG_CODES_MAX }
        const lock = lockOf(row)
        if (lock) return lock
        const step = stepOf(row, userId, code)
        const isRecovery = step === undefined && (await useRecoveryCode(connection, userId, row.now, code))
        if (step === undefined && !isRecovery) return countWrong(connection, userId, row)
        // Sealed anew, by the first key: an old one can be taken out when everybody was here once.
        const resealed = sealer.seal(sealer.open(row.sealedSecret, owner(userId)), owner(userId))
        await connection.query(
          `UPDATE second_factors SET last_step = GREATEST(last_step, ?), wrong_tries = 0, sealed_secret = ?
            WHERE user_id = ?`,
          [step ?? 0, resealed, userId],
        )
        await audit(connection, userId, isRecovery ? 'second-factor.recover' : 'second-factor.pass')
        return { kind: 'verified' }
      }),

    reset: (userId, actor) =>
      mysql.transaction(async ({ connection }) => {
        const [gone] = await connection.query<ResultSetHeader>(
          'DELETE FROM second_factors WHERE user_id = ?',
          [userId],
        )
        await connection.query('DELETE FROM recovery_codes WHERE user_id = ?', [userId])
        if (gone.affectedRows === 0) return false
        await writeAuditEntry(connection, {
          actor,
          action: 'second-factor.reset',
          subject: `user:${userId}`,
        })
        return true
      }),
  }

  /** The step of a code that has not been used yet, nor one after it. */
  function stepOf(row: Row, userId: number, code: string): number | undefined {
    const digits = code.replaceAll(/\s/g, '')
    if (!/^\d{6}$/.test(digits)) return undefined
    const step = totpStep(sealer.open(row.sealedSecret, owner(userId)), digits, row.now.getTime())
    return step !== undefined && step > row.lastStep ? step : undefined
  }
}

/** By MySQL's clock: all instances agree on which codes are over. */
async function lockRow(connection: Connection, userId: number): Promise<Row | undefined> {
  const [[row]] = await connection.query<(RowDataPacket & Row)[]>(
    `SELECT UTC_TIMESTAMP(3) AS now, sealed_secret AS sealedSecret, confirmed_at AS confirmedAt,
            last_step AS lastStep, wrong_tries AS wrongTries, tries_since AS triesSince
       FROM second_factors WHERE user_id = ? FOR UPDATE`,
    [userId],
  )
  return row
}

/** Until when the tries that were made count. */
function triesEndMs({ triesSince }: Row): number {
  return (triesSince?.getTime() ?? 0) + WRONG_CODES_WINDOW_MS
}

function lockOf(row: Row): Extract<CodeOutcome, { kind: 'locked' }> | undefined {
  const retryAfterMs = triesEndMs(row) - row.now.getTime()
  const isLocked = row.wrongTries >= WRONG_CODES_MAX && retryAfterMs > 0
  return isLocked ? { kind: 'locked', retryAfterMs } : undefined
}

async function countWrong(
  connection: Connection,
  userId: number,
  row: Row,
): Promise<Exclude<CodeOutcome, { kind: 'verified' }>> {
  const isNewWindow = row.wrongTries === 0 || triesEndMs(row) <= row.now.getTime()
  const wrongTries = isNewWindow ? 1 : row.wrongTries + 1
  await connection.query('UPDATE second_factors SET wrong_tries = ?, tries_since = ? WHERE user_id = ?', [
    wrongTries,
    isNewWindow ? row.now : row.triesSince,
    userId,
  ])
  // Whoever gets here knows the password: somebody should look at it.
  if (wrongTries >= WRONG_CODES_MAX) await audit(connection, userId, 'second-factor.lock')
  return { kind: 'incorrect', triesLeft: WRONG_CODES_MAX - wrongTries }
}

async function useRecoveryCode(
  connection: Connection,
  userId: number,
  now: Date,
  typed: string,
): Promise<boolean> {
  const code = readRecoveryCode(typed)
  if (code === undefined) return false
  const [used] = await connection.query<ResultSetHeader>(
    'UPDATE recovery_codes SET used_at = ? WHERE user_id = ? AND code_hash = ? AND used_at IS NULL',
    [now, userId, hashRecoveryCode(code)],
  )
  return used.affectedRows === 1
}

function audit(connection: Connection, userId: number, action: string): Promise<void> {
  return writeAuditEntry(connection, { actor: { userId }, action, subject: `user:${userId}` })
}
