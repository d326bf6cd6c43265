import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { root } from '../prepare.mjs'
import { run, runOrFail } from '../run.mjs'
import { findFreePort, isPortFree } from './ports.ts'
import type { Settings } from './settings.ts'
import type { Store, StoreName } from './store.ts'

const COMPOSE_FILE = join(root, 'docker', 'stores.yaml')

/** A file that says: this folder has containers. */
export const DOCKER_MARKER = 'docker-project'

/** The client is often there without an engine, and the engine without compose: both must answer. */
export function hasDocker(): boolean {
  const answers = (...args: string[]) =>
    spawnSync('docker', args, { stdio: 'ignore', timeout: 10_000 }).status === 0
  return answers('info') && answers('compose', 'version')
}

interface DockerOptions {
  folder: string
  needed: StoreName[]
  settings: Settings
  signal: AbortSignal | undefined
}

/** The same stores in containers; the volumes keep the data, docker/stores.yaml has the rest. */
export async function startDockerStores({ folder, needed, settings, signal }: DockerOptions): Promise<{
  stores: Partial<Record<StoreName, Store>>
  stop: () => Promise<void>
}> {
  const project = dockerProject(folder)
  // Volumes of a folder that was deleted by hand have passwords that nobody knows any more.
  if (!existsSync(join(folder, DOCKER_MARKER))) downWithData(project)
  const running = runningServices(project)
  const ports: Partial<Record<StoreName, number>> = {}
  for (const name of needed) {
    ports[name] = await choosePort(name, settings, running.has(name), new Set(Object.values(ports)))
  }
  const secret = (name: string) => settings.secret(name, 18)
  const env = {
    ...process.env,
    MYSQL_PORT: String(ports.mysql ?? 0),
    MYSQL_PASSWORD: secret('mysql'),
    MYSQL_ROOT_PASSWORD: secret('mysql-root'),
    REDIS_PORT: String(ports.redis ?? 0),
    REDIS_PASSWORD: secret('redis'),
    RABBITMQ_PORT: String(ports.rabbitmq ?? 0),
    RABBITMQ_PASSWORD: secret('rabbitmq'),
  }
  const compose = (...args: string[]) =>
    runOrFail('docker', ['compose', '-p', project, '-f', COMPOSE_FILE, ...args], { env, signal })
  // Stopping must still work after we were told to stop.
  const stop = async () => {
    const args = ['compose', '-p', project, '-f', COMPOSE_FILE, 'stop', '-t', '4', ...needed]
    await run('docker', args, { env })
  }

  writeFileSync(join(folder, DOCKER_MARKER), project)
  try {
    await compose('up', '-d', '--wait', ...needed)
    if (needed.includes('mysql')) await compose('exec', '-T', 'mysql', 'sh', '-c', GRANT_TEST_DATABASES)
  } catch (error) {
    await stop()
    throw error
  }

  const urls: Record<StoreName, string> = {
    mysql: `mysql://blitzbuy:${secret('mysql')}@127.0.0.1:${ports.mysql}/blitzbuy`,
    redis: `redis://:${secret('redis')}@127.0.0.1:${ports.redis}`,
    rabbitmq: `amqp://blitzbuy:${secret('rabbitmq')}@127.0.0.1:${ports.rabbitmq}`,
  }
  const stores: Partial<Record<StoreName, Store>> = {}
  for (const name of needed) {
    stores[name] = {
      url: urls[name],
      pid: undefined,
      kill: async (signalName) => void (await compose('kill', '-s', signalName, name)),
      start: async () => void (await compose('up', '-d', '--wait', name)),
      isAlive: () => runningServices(project).has(name),
    }
  }
  return { stores, stop }
}

/** Removes the containers of this folder and their data, if it ever had any. */
export function removeDockerStores(folder: string): void {
  if (!existsSync(join(folder, DOCKER_MARKER))) return
  downWithData(dockerProject(folder))
  rmSync(join(folder, DOCKER_MARKER), { force: true })
}

function downWithData(project: string): void {
  const args = ['compose', '-p', project, 'down', '-v', '-t', '1']
  spawnSync('docker', args, { stdio: 'ignore', timeout: 30_000 })
}

/** Each folder has its own containers, as each has its own data. */
function dockerProject(folder: string): string {
  return `blitzbuy-${createHash('sha256').update(folder).digest('hex').slice(0, 10)}`
}

function runningServices(project: string): ReadonlySet<string> {
  const args = ['compose', '-p', project, 'ps', '--services', '--status', 'running']
  try {
    return new Set(
      execFileSync('docker', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n'),
    )
  } catch {
    return new Set()
  }
}

async function choosePort(
  name: StoreName,
  settings: Settings,
  runs: boolean,
  taken: ReadonlySet<number>,
): Promise<number> {
  const last = settings.port(name)
  if (last !== undefined && (runs || (await isPortFree(last)))) return last
  const port = await findFreePort(taken)
  settings.setPort(name, port)
  return port
}

/** The image gives its user one database; tests make a database each. */
const GRANT_TEST_DATABASES = `MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mysql -uroot -e "GRANT ALL PRIVILEGES ON \\\`blitzbuy\\\\_%\\\`.* TO 'blitzbuy'@'%'"`
