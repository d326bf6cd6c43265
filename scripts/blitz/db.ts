import { SharedConfig } from '@blitzbuy/core/config'
import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { migrateDatabase, readMigrations, type Migration } from '@blitzbuy/core/mysql/migrate'
import type { Command } from 'commander'
import { Type } from 'typebox'

import { say } from './connect-system.ts'
import { readSystemSettings } from './environment.ts'

const DbConfig = Type.Object({ MYSQL_URL: SharedConfig.properties.MYSQL_URL })

const HELP = `
Every change only adds, so that processes of this release and of the one before can run together: migrate first, then
restart them one by one.

Exit status: 0 done, or all applied; 1 not done; status: 1 also when something is not applied.
MYSQL_URL names the database; when it is not set, it is that of the \`npm start\` that runs here.
`

export function registerDb(blitz: Command): void {
  const db = blitz
    .command('db')
    .description('the tables: migrates, tells how far they are')
    .helpCommand(false)
    .addHelpText('after', HELP)
  db.command('status')
    .description("which of this release's changes the database has")
    .option('--json', 'one JSON object a line on stdout')
    .action(status)
  db.command('migrate')
    .description("brings the database to this release's tables")
    .option('--dry-run', 'says what would be done, and does nothing')
    .action(migrate)
}

async function status({ json }: { json?: true }): Promise<void> {
  const { migrations } = await read()
  for (const { name, isApplied } of migrations) {
    const line = json
      ? JSON.stringify({ name, isApplied })
      : `${isApplied ? 'applied    ' : 'not applied'}  ${name}`
    process.stdout.write(`${line}\n`)
  }
  if (migrations.some(({ isApplied }) => !isApplied)) process.exitCode = 1
}

async function migrate({ dryRun }: { dryRun?: true }): Promise<void> {
  const { migrations, url, origin } = await read()
  const missing = migrations.filter(({ isApplied }) => !isApplied)
  if (missing.length === 0) return say(`nothing to do in ${origin}`)
  if (!dryRun) await migrateDatabase(url)
  say(
    `${dryRun ? 'dry run, would apply' : 'applied'} ${missing.map(({ name }) => name).join(', ')} in ${origin}`,
  )
}

async function read(): Promise<{ migrations: Migration[]; url: string; origin: string }> {
  const { settings, origin } = readSystemSettings(DbConfig, { allowsProduction: true })
  const mysql = connectMysql(settings.MYSQL_URL, { connectionLimit: 1 })
  try {
    return { migrations: await readMigrations(mysql), url: settings.MYSQL_URL, origin }
  } finally {
    await mysql.close()
  }
}
