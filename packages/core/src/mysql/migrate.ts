import { fileURLToPath } from 'node:url'

import { drizzle } from 'drizzle-orm/mysql2'
import { migrate } from 'drizzle-orm/mysql2/migrator'
import { createConnection } from 'mysql2/promise'

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
