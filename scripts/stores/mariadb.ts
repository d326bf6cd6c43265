import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

import { answers } from './greeting.ts'
import type { StorePrograms } from './programs.ts'
import type { Daemon, RecipeContext, StoreRecipe } from './recipe.ts'
import { giveTo } from './service-user.ts'

/** The first byte of the handshake that MariaDB and MySQL greet with; an error packet starts with 255. */
const HANDSHAKE_VERSION = 10

/** MariaDB, or MySQL 8 where that is what the machine has. */
export function mariadbRecipe(programs: StorePrograms['mysql'], context: RecipeContext): StoreRecipe {
  const { folder, user } = context
  const isMariadb = execFileSync(programs.server, ['--version'], { encoding: 'utf8' }).includes('MariaDB')
  const port = context.port('mysql')
  const data = join(folder, 'data')
  const logFile = join(folder, 'output.log')
  const asRoot = user === undefined && process.getuid?.() === 0 ? ['--user=root'] : []

  return {
    name: 'mysql',
    title: isMariadb ? 'MariaDB' : 'MySQL',
    url: `mysql://blitzbuy:${context.secret('mysql')}@127.0.0.1:${port}/blitzbuy`,
    folder,
    user,
    logFiles: [logFile],
    companions: [],

    async prepare(runToEnd) {
      writeInitFile(context)
      if (existsSync(data)) return
      // Renamed when it is whole: a start that was killed here must not leave half a data folder behind.
      const draft = `${data}.new`
      rmSync(draft, { recursive: true, force: true })
      await runToEnd(installer(programs, isMariadb, `./${basename(draft)}`, asRoot))
      renameSync(draft, data)
    },

    daemon: {
      name: 'mysql',
      command: programs.server,
      args: [
        '--no-defaults',
        ...asRoot,
        `--datadir=${data}`,
        // Inside the data folder, and named from there: a socket's whole path may have 107 bytes only.
        '--socket=mysql.sock',
        `--pid-file=${join(folder, 'pid')}`,
        `--log-error=${logFile}`,
        `--init-file=${join(folder, 'init.sql')}`,
        `--port=${port}`,
        '--bind-address=127.0.0.1',
        '--skip-name-resolve',
        '--max-connections=300',
        '--max-connect-errors=1000000',
        '--performance-schema=OFF',
        '--innodb-buffer-pool-size=256M',
        '--innodb-flush-log-at-trx-commit=1',
        '--sync-binlog=1',
        '--character-set-server=utf8mb4',
        '--collation-server=utf8mb4_unicode_ci',
        '--default-time-zone=+00:00',
        '--sql-mode=STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
        ...(isMariadb ? [] : ['--mysqlx=OFF', '--skip-log-bin']),
      ],
    },

    // It opens its port before it has run the init file, but greets only afterwards.
    isReady: () => answers(port, '', (received) => received[4] === HANDSHAKE_VERSION),
  }
}

/** The folder is named from where we stand: the script cannot take a path with a blank in it. */
function installer(
  programs: StorePrograms['mysql'],
  isMariadb: boolean,
  data: string,
  asRoot: string[],
): Daemon {
  if (!isMariadb) {
    const args = ['--no-defaults', ...asRoot, '--initialize-insecure', `--datadir=${data}`]
    return { name: 'mysql-install', command: programs.server, args }
  }
  if (programs.install === undefined) throw new Error('mariadbd is here, but mariadb-install-db is not')
  return {
    name: 'mysql-install',
    command: programs.install,
    args: [
      '--no-defaults',
      ...asRoot,
      `--datadir=${data}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      '--skip-name-resolve',
    ],
  }
}

/**
 * Run by the server at every start before it lets anybody in, so there is no moment with an open root and
 * nothing to find out about how far an earlier start came. One statement a line.
 */
function writeInitFile({ folder, user, secret }: RecipeContext): void {
  const root = secret('mysql-root')
  const own = secret('mysql')
  const statements = [
    'CREATE DATABASE IF NOT EXISTS `blitzbuy` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci',
    `CREATE USER IF NOT EXISTS 'blitzbuy'@'%' IDENTIFIED BY '${own}'`,
    `ALTER USER 'blitzbuy'@'%' IDENTIFIED BY '${own}'`,
    "GRANT ALL PRIVILEGES ON `blitzbuy`.* TO 'blitzbuy'@'%'",
    // Tests make a database each.
    "GRANT ALL PRIVILEGES ON `blitzbuy\\_%`.* TO 'blitzbuy'@'%'",
    ...['localhost', '127.0.0.1', '::1'].flatMap((host) => [
      `CREATE USER IF NOT EXISTS 'root'@'${host}' IDENTIFIED BY '${root}'`,
      `ALTER USER 'root'@'${host}' IDENTIFIED BY '${root}'`,
      `GRANT ALL PRIVILEGES ON *.* TO 'root'@'${host}' WITH GRANT OPTION`,
    ]),
  ]
  const file = join(folder, 'init.sql')
  rmSync(file, { force: true })
  writeFileSync(file, `${statements.join(';\n')};\n`, { mode: 0o600 })
  chmodSync(file, 0o600)
  giveTo(file, user)
}
