import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { drizzle } from 'drizzle-orm/mysql2'
import { migrate } from 'drizzle-orm/mysql2/migrator'
import { createConnection, type RowDataPacket } from 'mysql2/promise'

import { mysqlCode, type Mysql } from './connect-mysql.ts'

/** migrations/ sits beside both src/ and dist/, so one relative path serves source and build. */
const MIGRATIONS_FOLDER = fileURLToPath(new URL('../../migrations', import.meta.url))
const LOCK_WAIT_SECONDS = 60

/**
 * Brings the database to this release's tables; does nothing when it is there already.
 *
 * Several processes may call it at once: they take turns.
 */
export async function migrateDatabase(mysqlUrl: string): Promise<void> {
  const connection = await createConnection({ uri: mysqlUrl, timezone: 'Z', connectTimeout: 5_000 })
  try {
    // Without the lock two starts at once would both try to create the first table.
    await connection.query('SELECT GET_LOCK(?, ?)', ['blitzbuy_migrations', LOCK_WAIT_SECONDS])
    await migrate(drizzle({ client: connection }), { migrationsFolder: MIGRATIONS_FOLDER })
  } finally {
    await connection.end()
  }
}

/** One change of the tables that this release knows. */
export interface Migration {
  name: string
  isApplied: boolean
}

/** Which of this release's changes the database has. Drizzle compares by the time in the journal, and so do we. */
export async function readMigrations(mysql: Mysql): Promise<Migration[]> {
  const journal = JSON.parse(readFileSync(`${MIGRATIONS_FOLDER}/meta/_journal.json`, 'utf8')) as {
    entries: { tag: string; when: number }[]
  }
  const applied = await mysql.use(async ({ connection }) => {
    try {
      const [rows] = await connection.query<(RowDataPacket & { madeAtMs: number })[]>(
        'SELECT created_at AS madeAtMs FROM __drizzle_migrations',
      )
      return new Set(rows.map((row) => Number(row.madeAtMs)))
    } catch (error) {
      if (mysqlCode(error) === 'ER_NO_SUCH_TABLE') return new Set<number>()
      throw error
    }
  })
  return journal.entries.map(({ tag, when }) => ({ name: tag, isApplied: applied.has(when) }))
}
