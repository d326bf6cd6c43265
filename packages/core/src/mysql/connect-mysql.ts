import { drizzle, type MySql2Database } from 'drizzle-orm/mysql2'
import { createPool, type Connection, type PoolConnection } from 'mysql2/promise'

import { withDeadline } from '../deadline.ts'
import { StoreAway, StoreCrowded } from '../errors.ts'
import { createBuckets, type Buckets } from '../metrics/buckets.ts'

/** One borrowed connection: drizzle for ordinary queries, mysql2 itself where a bulk statement pays. */
export interface Session {
  orm: MySql2Database
  connection: Connection
}

/**
 * How long somebody may wait for a connection when many do: who `reads` is refused before who `changes` something. What
 * was `gathered` from many, and who has `begun` and goes on with what is done in part, is never refused, and comes first.
 */
export type Standing = 'reads' | 'changes' | 'gathered' | 'begun'

export interface Mysql {
  /**
   * Runs `work` on one connection, within the deadline.
   *
   * @throws StoreAway when MySQL cannot be reached or does not answer in time.
   * @throws StoreCrowded when too many wait for a connection already.
   */
  use<T>(work: (session: Session) => Promise<T>, deadlineMs?: number, standing?: Standing): Promise<T>
  /**
   * The same inside one READ COMMITTED transaction, run again from its start after a deadlock or a lock wait.
   *
   * @throws StoreAway also when the answer to COMMIT was lost: the outcome is `unknown`.
   */
  transaction<T>(work: (session: Session) => Promise<T>, deadlineMs?: number): Promise<T>
  readonly pool: PoolFigures
  close(): Promise<void>
}

/** How the pool stands, for whoever watches it. */
export interface PoolFigures {
  usedCount(): number
  idleCount(): number
  waitingCount(): number
  /** How long the first in the line has waited; 0 also when MySQL serves nobody, which is not the fault of those who wait. */
  lineMs(): number
  /** How long borrowers kept a connection: where a pool that is too small shows first. */
  readonly holdSeconds: Buckets
}

export const MYSQL_DEADLINE_MS = 1_500
/** Somebody in the line for a connection. */
interface Place {
  sinceMs: number
  enter: () => void
}

const TRANSACTION_TRIES_MAX = 5
/**
 * While the first in the line has waited for longer than this part of a deadline, or a new one would for longer than
 * the other, whoever comes is refused at once: a reader before somebody who changes something.
 */
const WAITED_SHARE_MAX = { reads: 0.2, changes: 0.3 }
const EXPECTED_SHARE_MAX = 0.3
const LINE_MAX = 1_000
/** A MySQL that has answered nobody for so long is away, however many wait for it. */
const SERVES_WITHIN_MS = 300
/** How much the newest borrower counts in the mean. */
const MEAN_WEIGHT = 0.05

const RUN_AGAIN = new Set(['ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT', 'ER_CHECKREAD'])

/** Answers of a server that is there but cannot work now; everything else with an `ER_` code is our mistake. */
const SERVER_AWAY = new Set([
  'ER_CON_COUNT_ERROR',
  'ER_USER_LIMIT_REACHED',
  'ER_TOO_MANY_USER_CONNECTIONS',
  'ER_SERVER_SHUTDOWN',
  'ER_NORMAL_SHUTDOWN',
  'ER_CONNECTION_KILLED',
  'ER_QUERY_INTERRUPTED',
  'ER_OPTION_PREVENTS_STATEMENT',
  'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION',
  'ER_ENGINE_OUT_OF_MEMORY',
  'ER_DISK_FULL',
  'ER_ACCESS_DENIED_ERROR',
  'ER_BAD_DB_ERROR',
])

/** A pool whose every connection is in UTC, READ COMMITTED and strict, whatever the server's defaults are. */
export function connectMysql(url: string, options: { connectionLimit?: number } = {}): Mysql {
  const connectionLimit = options.connectionLimit ?? 10
  const pool = createPool({
    uri: url,
    connectionLimit,
    // Kept: in a rush, when the event loop is late, a connection takes seconds to open that is open for ever afterwards.
    maxIdle: connectionLimit,
    // Longer than callers wait: opening that is given up again and again in an overload would never come to an end.
    connectTimeout: 5_000,
    timezone: 'Z',
    charset: 'utf8mb4_unicode_ci',
    // Without it an UPDATE that changes nothing counts as a change: every conditional update depends on this.
    flags: ['-FOUND_ROWS'],
  })

  /** Who has a connection, or a place to get one. */
  let placedCount = 0
  let usedCount = 0
  let servedAtMs = Number.NEGATIVE_INFINITY
  /** In the order in which they get their places. The pool has a line too, but that knows no order but its own. */
  const firstLine = new Set<Place>()
  const line = new Set<Place>()
  /** The driver's connection is kept, what is wrapped around it is made at each borrowing. */
  const sessions = new WeakMap<object, Session>()
  let meanHoldMs = 0
  const holdSeconds = createBuckets()

  // Statements on one connection are answered in order, so these are in force before the borrower's first query.
  pool.on('connection', (connection) => {
    const onError = (error: Error | null): void => {
      if (error) connection.destroy()
    }
    const raw = connection as unknown as { query(sql: string, done: (error: Error | null) => void): void }
    raw.query(
      `SET time_zone = '+00:00', innodb_lock_wait_timeout = 3,
       sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'`,
      onError,
    )
    raw.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED', onError)
  })

  function lineMs(): number {
    const nowMs = performance.now()
    const [first] = line.size > 0 ? line : firstLine
    return first && nowMs - servedAtMs < SERVES_WITHIN_MS ? nowMs - first.sinceMs : 0
  }

  function isCrowded(deadlineMs: number, waitedShareMax: number): boolean {
    const [first] = line.size > 0 ? line : firstLine
    if (!first) return false
    // Where nobody has a connection it is not the others who keep somebody waiting: MySQL is away.
    const waitedMs = usedCount > 0 ? performance.now() - first.sinceMs : 0
    const expectedMs = ((line.size + firstLine.size) / connectionLimit) * meanHoldMs
    return (
      line.size >= LINE_MAX ||
      waitedMs > deadlineMs * waitedShareMax ||
      expectedMs > deadlineMs * EXPECTED_SHARE_MAX
    )
  }

  /** Resolves with true when it is somebody's turn to take a connection, with false when that was not in time. */
  function takePlace(deadlineMs: number, isFirst: boolean): true | Promise<boolean> {
    if (placedCount < connectionLimit) {
      placedCount += 1
      return true
    }
    return new Promise((resolve) => {
      const mine = isFirst ? firstLine : line
      const place = { sinceMs: performance.now(), enter: () => leave(true) }
      const timer = setTimeout(() => leave(false), deadlineMs)
      const leave = (isTurn: boolean): void => {
        clearTimeout(timer)
        mine.delete(place)
        resolve(isTurn)
      }
      mine.add(place)
    })
  }

  function leavePlace(): void {
    for (const next of firstLine.size > 0 ? firstLine : line) return next.enter()
    placedCount -= 1
  }

  function sessionOf(connection: PoolConnection): Session {
    const kept = connection.connection
    let session = sessions.get(kept)
    if (!session) sessions.set(kept, (session = { connection, orm: drizzle({ client: connection }) }))
    return session
  }

  async function borrow<T>(
    work: (session: Session) => Promise<T>,
    deadlineMs: number,
    standing: Standing,
  ): Promise<T> {
    const isFirst = standing === 'begun' || standing === 'gathered'
    // Else all who wait would get their connection when it is too late for them, and nobody would be served.
    if (!isFirst && isCrowded(deadlineMs, WAITED_SHARE_MAX[standing])) throw new StoreCrowded('mysql')
    const endsAtMs = performance.now() + deadlineMs
    const place = takePlace(deadlineMs, isFirst)
    if (place !== true && !(await place))
      throw new StoreAway('mysql', 'not-sent', new Error('no free connection in time'))
    try {
      return await withConnection(work, deadlineMs, endsAtMs)
    } finally {
      leavePlace()
    }
  }

  async function withConnection<T>(
    work: (session: Session) => Promise<T>,
    deadlineMs: number,
    endsAtMs: number,
  ): Promise<T> {
    const leftMs = (): number => Math.max(1, endsAtMs - performance.now())
    const borrowed = pool.getConnection()
    let connection: PoolConnection
    try {
      connection = await withDeadline(borrowed, leftMs(), () => new Error('no connection in time'))
    } catch (error) {
      // A connection that arrives after its borrower has left goes back to the pool.
      borrowed.then((late) => late.release()).catch(() => undefined)
      throw new StoreAway('mysql', 'not-sent', error)
    }
    usedCount += 1
    const borrowedAtMs = performance.now()
    try {
      const result = await withDeadline(
        work(sessionOf(connection)),
        leftMs(),
        () => new StoreAway('mysql', 'unknown', new Error(`no answer within ${deadlineMs} ms`)),
      )
      connection.release()
      servedAtMs = performance.now()
      return result
    } catch (error) {
      const fault = toStoreFault(error)
      // After a fault it may still be busy, or in the middle of a transaction: nobody else may get it.
      if (fault instanceof StoreAway) connection.destroy()
      else connection.release()
      throw fault
    } finally {
      usedCount -= 1
      const heldMs = performance.now() - borrowedAtMs
      meanHoldMs = meanHoldMs === 0 ? heldMs : meanHoldMs + (heldMs - meanHoldMs) * MEAN_WEIGHT
      holdSeconds.observe(heldMs / 1000)
    }
  }

  async function transaction<T>(
    work: (session: Session) => Promise<T>,
    deadlineMs = MYSQL_DEADLINE_MS,
  ): Promise<T> {
    const endsAtMs = performance.now() + deadlineMs
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await borrow(
          async (session) => {
            await session.connection.query('START TRANSACTION')
            try {
              const result = await work(session)
              await session.connection.query('COMMIT')
              return result
            } catch (error) {
              // On a connection that is gone this fails too, and must not hide why.
              await session.connection.query('ROLLBACK').catch(() => session.connection.destroy())
              throw error
            }
          },
          Math.max(1, endsAtMs - performance.now()),
          attempt === 1 ? 'changes' : 'begun',
        )
      } catch (error) {
        if (attempt >= TRANSACTION_TRIES_MAX || !mayRunAgain(error)) throw error
      }
    }
  }

  return {
    use: (work, deadlineMs = MYSQL_DEADLINE_MS, standing = 'reads') => borrow(work, deadlineMs, standing),
    transaction,
    pool: {
      usedCount: () => usedCount,
      idleCount: () => freeCount(pool.pool),
      waitingCount: () => firstLine.size + line.size,
      lineMs,
      holdSeconds,
    },
    close: () => pool.end(),
  }
}

/** mysql2 keeps its free connections in a field that its types do not name. */
function freeCount(pool: object): number {
  return (pool as { _freeConnections?: { length: number } })._freeConnections?.length ?? 0
}

/** Whether a statement, or a transaction, was rolled back as a whole because of others, and may simply be run again. */
export function mayRunAgain(error: unknown): boolean {
  return RUN_AGAIN.has(mysqlCode(error) ?? '')
}

/** The server's or the driver's code of an error, also below drizzle's wrapping, e.g. `ER_DUP_ENTRY`. */
export function mysqlCode(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    const { code } = current as { code?: unknown }
    if (typeof code === 'string') return code
  }
  return undefined
}

function toStoreFault(error: unknown): unknown {
  if (error instanceof StoreAway) return error
  const code = mysqlCode(error)
  // mysql2 gives no code to what it says about a connection that was closed before.
  const isClosed = error instanceof Error && error.message.includes('closed state')
  const isConnectionFault = isClosed || (code !== undefined && !code.startsWith('ER_'))
  return isConnectionFault || SERVER_AWAY.has(code ?? '') ? new StoreAway('mysql', 'unknown', error) : error
}
