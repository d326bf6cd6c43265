import { accessSync, constants, readdirSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

import type { StoreName } from './store.ts'

/** The local programs of one store, each by its path. */
export interface StorePrograms {
  mysql: { server: string; install: string | undefined }
  redis: { server: string }
  rabbitmq: { server: string; epmd: string }
}

/** Servers lie in sbin, which is not on an ordinary user's PATH. */
const folders = () => [
  ...(process.env.PATH ?? '').split(delimiter),
  '/usr/local/sbin',
  '/usr/sbin',
  '/sbin',
  '/usr/local/bin',
  '/usr/bin',
  '/opt/homebrew/sbin',
  '/opt/homebrew/bin',
]

export function findProgram(...names: string[]): string | undefined {
  for (const name of names) {
    for (const folder of folders()) {
      const file = join(folder, name)
      if (isExecutable(file)) return file
    }
  }
  return undefined
}

export function findStorePrograms(): { [Name in StoreName]: StorePrograms[Name] | undefined } {
  return { mysql: findMysql(), redis: findRedis(), rabbitmq: findRabbitmq() }
}

function findMysql(): StorePrograms['mysql'] | undefined {
  const server = findProgram('mariadbd', 'mysqld')
  return server === undefined
    ? undefined
    : { server, install: findProgram('mariadb-install-db', 'mysql_install_db') }
}

function findRedis(): StorePrograms['redis'] | undefined {
  const server = findProgram('redis-server')
  return server === undefined ? undefined : { server }
}

function findRabbitmq(): StorePrograms['rabbitmq'] | undefined {
  // Debian's /usr/sbin/rabbitmq-server lets only root or rabbitmq in; behind it lies the plain one.
  const behind = ['/usr/lib/rabbitmq/bin', ...versionedFolders()].map((folder) =>
    join(folder, 'rabbitmq-server'),
  )
  const server = behind.find(isExecutable) ?? findProgram('rabbitmq-server')
  const erl = findProgram('erl')
  const epmd = findProgram('epmd') ?? (erl && besideErl(erl))
  return server && epmd ? { server, epmd } : undefined
}

function versionedFolders(): string[] {
  const base = '/usr/lib/rabbitmq/lib'
  try {
    return readdirSync(base).map((name) => join(base, name, 'sbin'))
  } catch {
    return []
  }
}

function besideErl(erl: string): string | undefined {
  const file = join(dirname(realpathSync(erl)), 'epmd')
  return isExecutable(file) ? file : undefined
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
