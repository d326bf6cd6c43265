import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { StepFailed } from '../steps.mjs'
import { canInstallWithApt, installWithApt } from './apt.ts'
import { hasDocker, removeDockerStores, startDockerStores } from './docker-stores.ts'
import { createLocalStore, type LocalStore } from './local-store.ts'
import { mariadbRecipe } from './mariadb.ts'
import { findFreePort, isPortFree } from './ports.ts'
import {
  createProcessRecord,
  endAllRecorded,
  killRecorded,
  RECORD_ENDING,
  type ProcessRecord,
} from './process-record.ts'
import { findStorePrograms, type StorePrograms } from './programs.ts'
import { rabbitmqRecipe } from './rabbitmq.ts'
import type { RecipeContext, StoreRecipe } from './recipe.ts'
import { redisRecipe } from './redis.ts'
import { serviceUserFor } from './service-user.ts'
import { createSettings, type Settings } from './settings.ts'
import { givenStore, storeNames, type Store, type StoreName, type Stores } from './store.ts'

export interface StartStoresOptions {
  /** Where data, ports and passwords are kept. */
  folder: string
  /** Without what an earlier start left there. */
  fresh?: boolean
  /** Stores that run somewhere else already; none, unless the caller hands over an environment. */
  given?: { MYSQL_URL?: string | undefined; REDIS_URL?: string | undefined; AMQP_URL?: string | undefined }
  say?: (line: string) => void
  signal?: AbortSignal | undefined
}

const aptPackages: Record<StoreName, string> = {
  mysql: 'mariadb-server',
  redis: 'redis-server',
  rabbitmq: 'rabbitmq-server',
}

/**
 * The one starter of stores: for start, tests, benchmarks and faults.
 *
 * A store comes from the first of these that there is: its URL; a private instance of the local program; Docker;
 * the local program after an apt-get install. What runs is recorded in the folder, so that a start after a
 * `kill -9` takes it over.
 */
export async function startStores(options: StartStoresOptions): Promise<Stores> {
  const { say = () => {}, signal, given = {} } = options
  const folder = resolve(options.folder)
  mkdirSync(folder, { recursive: true })
  // The stores' own users pass through here to their folders; what is secret has a mode of its own.
  if (process.getuid?.() === 0) chmodSync(folder, 0o711)
  if (options.fresh) await emptyStores(folder)

  const urls: Record<StoreName, string | undefined> = {
    mysql: given.MYSQL_URL || undefined,
    redis: given.REDIS_URL || undefined,
    rabbitmq: given.AMQP_URL || undefined,
  }
  const needed = storeNames.filter((name) => urls[name] === undefined)
  const settings = createSettings(join(folder, 'stores.json'))
  const origin = needed.length === 0 ? 'environment' : await chooseOrigin(needed, say, signal)

  const started =
    origin === 'docker'
      ? await startDockerStores({ folder, needed, settings, signal })
      : await startLocalStores({ folder, needed, settings, signal })

  const all = {} as Record<StoreName, Store>
  for (const name of storeNames) all[name] = started.stores[name] ?? givenStore(name, urls[name] as string)
  return {
    origin,
    ...all,
    mysqlUrl: all.mysql.url,
    redisUrl: all.redis.url,
    amqpUrl: all.rabbitmq.url,
    stop: started.stop,
  }
}

/** Ends whatever runs out of this folder, however it was left there, and forgets its data. */
async function emptyStores(folder: string): Promise<void> {
  await endAllRecorded(recordOf(folder))
  removeDockerStores(folder)
  for (const name of storeNames) rmSync(join(folder, name), { recursive: true, force: true })
}

/** At once and without waiting: for a second Ctrl-C. The next start finds their data as after a power cut. */
export function killStores(folder: string): void {
  killRecorded(recordOf(folder))
}

function recordOf(folder: string): ProcessRecord {
  return createProcessRecord(join(folder, `stores${RECORD_ENDING}`))
}

async function chooseOrigin(
  needed: StoreName[],
  say: (line: string) => void,
  signal: AbortSignal | undefined,
): Promise<'local' | 'docker'> {
  const missing = () => needed.filter((name) => findStorePrograms()[name] === undefined)
  if (missing().length === 0) return 'local'
  if (hasDocker()) return 'docker'
  const packages = missing().map((name) => aptPackages[name])
  if (canInstallWithApt()) {
    await installWithApt(packages, say, signal)
    if (missing().length === 0) return 'local'
  }
  throw new StepFailed(`No way to start ${missing().join(', ')}. Any one of these will do:
  - set MYSQL_URL, REDIS_URL and AMQP_URL to stores that run already
  - install ${packages.join(', ')} (on Debian and Ubuntu by apt-get, or run this as root and it will)
  - start Docker with its compose plugin (\`docker info\` and \`docker compose version\` must both succeed)`)
}

async function startLocalStores({
  folder,
  needed,
  settings,
  signal,
}: {
  folder: string
  needed: StoreName[]
  settings: Settings
  signal: AbortSignal | undefined
}): Promise<{ stores: Partial<Record<StoreName, LocalStore>>; stop: () => Promise<void> }> {
  const record = recordOf(folder)
  const programs = findStorePrograms()
  const ports = await choosePorts(needed, settings, record)
  const recipes = needed.map((name) => recipeFor(name, programs, folder, ports, settings))

  const stores: Partial<Record<StoreName, LocalStore>> = {}
  for (const recipe of recipes) stores[recipe.name] = createLocalStore(recipe, record, signal)
  const stop = async () => {
    await Promise.all(Object.values(stores).map((store) => store.stop()))
  }
  const outcomes = await Promise.allSettled(Object.values(stores).map((store) => store.start()))
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed) {
    await stop()
    throw failed.reason
  }
  return { stores, stop }
}

const portsOf: Record<StoreName, string[]> = {
  mysql: ['mysql'],
  redis: ['redis'],
  rabbitmq: ['rabbitmq', 'rabbitmq-dist', 'epmd'],
}

/** The ports of the last start while they are free or still held by what it started, else new ones. */
async function choosePorts(
  needed: StoreName[],
  settings: Settings,
  record: ProcessRecord,
): Promise<Map<string, number>> {
  const chosen = new Map<string, number>()
  for (const name of needed) {
    const purposes = portsOf[name]
    const runs = [name, ...purposes].some((process) => record.alive(process) !== undefined)
    for (const purpose of purposes) {
      const last = settings.port(purpose)
      const taken = new Set(chosen.values())
      const port = last !== undefined && (runs || (await isPortFree(last))) ? last : await findFreePort(taken)
      chosen.set(purpose, port)
      if (port !== last) settings.setPort(purpose, port)
    }
  }
  return chosen
}

function recipeFor(
  name: StoreName,
  programs: ReturnType<typeof findStorePrograms>,
  folder: string,
  ports: ReadonlyMap<string, number>,
  settings: Settings,
): StoreRecipe {
  const context: RecipeContext = {
    folder: join(folder, name),
    user: serviceUserFor(name, folder),
    port: (purpose) => ports.get(purpose) as number,
    secret: (purpose) => settings.secret(purpose, 18),
  }
  // chooseOrigin has seen to it that they are there.
  switch (name) {
    case 'mysql':
      return mariadbRecipe(programs.mysql as StorePrograms['mysql'], context)
    case 'redis':
      return redisRecipe(programs.redis as StorePrograms['redis'], context)
    case 'rabbitmq':
      return rabbitmqRecipe(programs.rabbitmq as StorePrograms['rabbitmq'], context)
  }
}
