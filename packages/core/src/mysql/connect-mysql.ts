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

export interface Mysql {
  /**
   * Runs `work` on one connection, within the deadline.
   *
   * @param standing `begun`: it goes on with what is done in part, and waits for its connection however many do
   * @throws StoreAway when MySQL cannot be reached or does not answer in time.
   * @throws StoreCrowded when too many wait for a connection already.
   */
  use<T>(work: (session: Session) => Promise<T>, deadlineMs?: number, standing?: 'new' | 'begun'): Promise<T>
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
  /** How long borrowers kept a connection: where a pool that is too small shows first. */
  readonly holdSeconds: Buckets
}

const DEADLINE_MS = 1_500
const TRANSACTION_TRIES_MAX = 5
/**
 * While the first in the line has waited for longer than this part of a deadline, or a new one would for longer than half
 * of it, whoever comes is refused at once: a reader before somebody who changes something.
 */
const WAITED_SHARE_MAX = { read: 0.2, transaction: 0.4 }
const EXPECTED_SHARE_MAX = 0.5
/** How much the newest borrower counts in the mean. */
const MEAN_WEIGHT = 0.05

/** The transaction was rolled back as a whole and may simply be run again. */
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
    // Beyond this many waiting callers a new one is refused at once instead of piling up.
    queueLimit: 1_000,
    timezone: 'Z',
    charset: 'utf8mb4_unicode_ci',
    // Without it an UPDATE that changes nothing counts as a change: every conditional update depends on this.
    flags: ['-FOUND_ROWS'],
  })

  let usedCount = 0
  /** In the order in which they get their connections. */
  const waiting = new Set<{ sinceMs: number }>()
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

  function isCrowded(deadlineMs: number, waitedShareMax: number): boolean {
    const [first] = waiting
    if (!first) return false
    // Where nobody has a connection it is not the others who keep somebody waiting: MySQL is away.
    const waitedMs = usedCount > 0 ? performance.now() - first.sinceMs : 0
    const expectedMs = (waiting.size / connectionLimit) * meanHoldMs
    return waitedMs > deadlineMs * waitedShareMax || expectedMs > deadlineMs * EXPECTED_SHARE_MAX
  }

  async function borrow<T>(
    work: (session: Session) => Promise<T>,
    deadlineMs: number,
    kind: keyof typeof WAITED_SHARE_MAX | 'begun',
  ): Promise<T> {
    // Else all who wait would get their connection when it is too late for them, and nobody would be served.
    if (kind !== 'begun' && isCrowded(deadlineMs, WAITED_SHARE_MAX[kind])) throw new StoreCrowded('mysql')
    const endsAtMs = performance.now() + deadlineMs
    const borrowed = pool.getConnection()
    let connection: PoolConnection
    const place = { sinceMs: performance.now() }
    waiting.add(place)
    try {
      connection = await withDeadline(borrowed, deadlineMs, () => new Error('no free connection in time'))
    } catch (error) {
      // A connection that arrives after its borrower has left goes back to the pool.
      borrowed.then((late) => late.release()).catch(() => undefined)
      throw new StoreAway('mysql', 'not-sent', error)
    } finally {
      waiting.delete(place)
    }
    usedCount += 1
    const borrowedAtMs = performance.now()
    try {
      const result = await withDeadline(
        work({ orm: drizzle({ client: connection }), connection }),
        Math.max(1, endsAtMs - performance.now()),
        () => new StoreAway('mysql', 'unknown', new Error(`no answer within ${deadlineMs} ms`)),
      )
      connection.release()
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
    deadlineMs = DEADLINE_MS,
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
          attempt === 1 ? 'transaction' : 'begun',
        )
      } catch (error) {
        if (attempt >= TRANSACTION_TRIES_MAX || !RUN_AGAIN.has(mysqlCode(error) ?? '')) throw error
      }
    }
  }

  return {
    use: (work, deadlineMs = DEADLINE_MS, standing = 'new') =>
      borrow(work, deadlineMs, standing === 'new' ? 'read' : 'begun'),
    transaction,
    pool: {
      usedCount: () => usedCount,
      idleCount: () => freeCount(pool.pool),
      waitingCount: () => waiting.size,
      holdSeconds,
    },
    close: () => pool.end(),
  }
}

/** mysql2 keeps its free connections in a field that its types do not name. */
function freeCount(pool: object): number {
  return (pool as { _freeConnections?: { length: number } })._freeConnections?.length ?? 0
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
