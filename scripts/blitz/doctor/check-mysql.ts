import { clockOffsetMs } from '@blitzbuy/core/metrics/store-metrics'
import type { Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import { readMigrations } from '@blitzbuy/core/mysql/migrate'
import type { RowDataPacket } from 'mysql2/promise'

import { CLOCK_OFFSET_MAX_MS } from './check-redis.ts'
import { judge, type Finding } from './finding.ts'

interface Facts {
  version: string
  flushLog: number
  syncBinlog: number
  timeZone: string
  systemTimeZone: string
  charset: string
}

export async function checkMysql(mysql: Mysql, now: () => number): Promise<Finding[]> {
  const facts = await readFacts(mysql)
  const offsetMs = await clockOffsetMs(async () => {
    const [row] = await rows<{ now: Date }>(mysql, 'SELECT UTC_TIMESTAMP(3) AS now')
    return row?.now.getTime() ?? Number.NaN
  }, now)
  const migrations = await readMigrations(mysql)
  const missing = migrations.filter(({ isApplied }) => !isApplied)
  const zone = facts.timeZone === 'SYSTEM' ? facts.systemTimeZone : facts.timeZone
  return [
    judge(
      'mysql version',
      isNewEnough(facts.version),
      facts.version,
      'MySQL 8.0 or MariaDB 10.6 or newer is needed (SKIP LOCKED).',
    ),
    judge(
      'mysql flush_log_at_trx_commit',
      facts.flushLog === 1,
      String(facts.flushLog),
      'SET GLOBAL innodb_flush_log_at_trx_commit = 1, and the same in my.cnf: an order that was confirmed must survive a power cut.',
    ),
    judge(
      'mysql sync_binlog',
      facts.syncBinlog === 1,
      String(facts.syncBinlog),
      'SET GLOBAL sync_binlog = 1, and the same in my.cnf: replicas and backups else miss the last orders after a crash.',
    ),
    judge(
      'mysql time zone',
      zone === '+00:00' || zone === 'UTC',
      zone,
      "SET GLOBAL time_zone = '+00:00', and default-time-zone in my.cnf: whoever looks by hand else reads wrong times.",
      'warn',
    ),
    judge(
      'mysql character set',
      facts.charset === 'utf8mb4',
      facts.charset,
      'ALTER DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci: new tables could not hold every title.',
    ),
    judge(
      'mysql migrations',
      missing.length === 0,
      missing.length === 0
        ? `${migrations.length} applied`
        : `missing: ${missing.map(({ name }) => name).join(', ')}`,
      'Run: blitz db migrate',
    ),
    judge(
      'mysql clock',
      Math.abs(offsetMs) <= CLOCK_OFFSET_MAX_MS,
      `${Math.round(offsetMs)} ms from this host`,
      'Synchronise the clocks of all hosts (chrony or systemd-timesyncd): the time to pay runs by the clock of MySQL.',
    ),
  ]
}

async function readFacts(mysql: Mysql): Promise<Facts> {
  const [facts] = await rows<Facts>(
    mysql,
    `SELECT VERSION() AS version, @@GLOBAL.innodb_flush_log_at_trx_commit AS flushLog, @@GLOBAL.sync_binlog AS syncBinlog,
            @@GLOBAL.time_zone AS timeZone, @@GLOBAL.system_time_zone AS systemTimeZone,
            (SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = DATABASE()) AS charset`,
  )
  if (!facts) throw new Error('MySQL told nothing')
  return facts
}

function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return version.includes('MariaDB') ? major > 10 || (major === 10 && minor >= 6) : major >= 8
}

function rows<Row>(mysql: Mysql, sql: string): Promise<Row[]> {
  return mysql.use(async ({ connection }) => (await connection.query<(RowDataPacket & Row)[]>(sql))[0])
}
