import { Type } from 'typebox'

import { loadConfig, SharedConfig } from '../config.ts'
import { ConfigInvalid } from '../errors.ts'
import { migrateDatabase } from './migrate.ts'

/*
 * A process of its own, once a release, before the others start: `node …/core/dist/mysql/run-migrations.js`. Its MYSQL_URL
 * is that of a user who may change tables; the others need not be such users.
 */
const MigrationConfig = Type.Object({
  NODE_ENV: SharedConfig.properties.NODE_ENV,
  MYSQL_URL: SharedConfig.properties.MYSQL_URL,
})

try {
  await migrateDatabase(loadConfig(MigrationConfig).MYSQL_URL)
  process.stdout.write('the tables are those of this release\n')
} catch (error) {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : ''
  const message = error instanceof ConfigInvalid || error instanceof Error ? error.message : String(error)
  process.stderr.write(`run-migrations: ${message}${cause}\n`)
  process.exitCode = 1
}
