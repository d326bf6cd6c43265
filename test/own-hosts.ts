import { spawnSync } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

import { runOrFail } from '../scripts/run.mjs'
import { createLocalStore, type LocalStore } from '../scripts/stores/local-store.ts'
import { mariadbRecipe } from '../scripts/stores/mariadb.ts'
import { createProcessRecord, RECORD_ENDING } from '../scripts/stores/process-record.ts'
import { findStorePrograms } from '../scripts/stores/programs.ts'
import { rabbitmqRecipe } from '../scripts/stores/rabbitmq.ts'
import type { Daemon, RecipeContext, StoreRecipe } from '../scripts/stores/recipe.ts'
import { redisRecipe } from '../scripts/stores/redis.ts'
import { IPROUTE2 } from '../scripts/stores/test-programs.ts'
import type { Certificate } from './own-certificates.ts'

const ipProgram = process.env[IPROUTE2.variable] || IPROUTE2.path
const ip = (...args: string[]) => runOrFail(ipProgram, args, {})

/** Laying cables takes root. */
export const canMakeHosts = process.getuid?.() === 0

/** A host of its own, as far as the network goes: a namespace with an address, on a switch with the others. */
export interface OwnHost {
  address: string
  /** A command line, as it is run on this host. */
  inHost(command: string[]): string[]
  /** Pulls its cable, or puts it back. */
  link(state: 'up' | 'down'): Promise<void>
  /** Lets everything that this host sends to an address vanish, or no longer. */
  blackhole(action: 'add' | 'del', address: string): Promise<void>
}

export interface OwnNetwork<Name extends string> {
  hosts: Record<Name, OwnHost>
  /** Where the tests themselves sit. */
  address: string
  remove(): Promise<void>
}

const ETC = '/etc/netns'

/** With the pid of who has laid them: how our switches and namespaces are named. */
const MARK = 'bb'

/** Hosts on one switch, who know each other as `<name>.test`; this process sits on it too. */
export async function makeNetwork<Name extends string>(
  hostNames: readonly Name[],
): Promise<OwnNetwork<Name>> {
  for (const mark of marks()) if (!isRunning(Number(mark.slice(MARK.length)))) removeNetwork(mark)
  const mark = `${MARK}${process.pid}`
  const remove = () => removeNetwork(mark)
  process.on('exit', remove)
  // 198.18.0.0/15 is kept for measurements of networks: nobody's real address is in it.
  const subnet = `198.${randomInt(18, 20)}.${randomInt(256)}`
  const address = `${subnet}.1`
  await ip('link', 'add', mark, 'type', 'bridge')
  await ip('address', 'add', `${address}/24`, 'dev', mark)
  await ip('link', 'set', mark, 'up')

  async function addHost(index: number): Promise<OwnHost> {
    const namespace = `${mark}-${index}`
    const cable = `${mark}v${index}`
    const own = `${subnet}.${10 + index}`
    // What `ip netns exec` shows its commands as /etc/hosts.
    const names = ['127.0.0.1 localhost', ...hostNames.map((name, at) => `${subnet}.${10 + at} ${name}.test`)]
    mkdirSync(join(ETC, namespace), { recursive: true })
    writeFileSync(join(ETC, namespace, 'hosts'), `${names.join('\n')}\n`)
    await ip('netns', 'add', namespace)
    await ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
    await ip('link', 'set', cable, 'master', mark)
    await ip('link', 'set', cable, 'up')
    await ip('-n', namespace, 'address', 'add', `${own}/24`, 'dev', 'eth0')
    for (const device of ['lo', 'eth0']) await ip('-n', namespace, 'link', 'set', device, 'up')
    return {
      address: own,
      inHost: (command) => [ipProgram, 'netns', 'exec', namespace, ...command],
      link: async (state) => void (await ip('link', 'set', cable, state)),
      blackhole: async (action, to) =>
        void (await ip('-n', namespace, 'route', action, 'blackhole', `${to}/32`)),
    }
  }

  const hosts = {} as Record<Name, OwnHost>
  try {
    for (const [index, name] of hostNames.entries()) hosts[name] = await addHost(index)
  } catch (error) {
    remove()
    throw error
  }
  return {
    hosts,
    address,
    async remove() {
      remove()
      process.off('exit', remove)
    },
  }
}

const hostFolders = () => (existsSync(ETC) ? readdirSync(ETC) : [])

/** The networks that this machine has, also those of a run that was killed. */
function marks(): string[] {
  return [...new Set(hostFolders().map((name) => name.split('-')[0] as string))].filter((name) =>
    /^bb\d+$/.test(name),
  )
}

/** At once, because a process that exits waits for nothing. */
function removeNetwork(mark: string): void {
  for (const namespace of hostFolders().filter((name) => name.startsWith(`${mark}-`))) {
    spawnSync(ipProgram, ['netns', 'delete', namespace])
    rmSync(join(ETC, namespace), { recursive: true, force: true })
  }
  spawnSync(ipProgram, ['link', 'delete', mark])
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

export const STORE_PORTS = { mysql: 3306, redis: 6379, rabbitmq: 5671 }

/**
 * The three stores on a host of their own: each speaks TLS alone to other hosts, and knows the users of
 * docker/make-settings.mjs.
 *
 * @param settings the folder that make-settings has filled
 */
export function makeStoresOn(
  host: OwnHost,
  options: { folder: string; settings: string; authority: string; certificate: Certificate },
): { start(): Promise<void>; stop(): Promise<void> } {
  const { folder, settings, authority, certificate } = options
  const { certificate: cert, key } = certificate
  const programs = findStorePrograms()
  if (!programs.mysql || !programs.redis || !programs.rabbitmq) throw new Error('a store is not installed')
  // The same ports as anywhere: this host has them for itself.
  const ports: Record<string, number> = { ...STORE_PORTS, rabbitmq: 5672, 'rabbitmq-dist': 25672, epmd: 4369 }
  const context = (name: string): RecipeContext => ({
    folder: join(folder, name),
    user: undefined,
    port: (purpose) => ports[purpose] as number,
    secret: (purpose) => `own-${purpose}-${randomBytes(9).toString('hex')}`,
  })

  const mysql = mariadbRecipe(programs.mysql, context('mysql'))
  mysql.daemon.args.push(
    '--bind-address=0.0.0.0',
    '--require-secure-transport=ON',
    `--ssl-ca=${authority}`,
    `--ssl-cert=${cert}`,
    `--ssl-key=${key}`,
    `--init-file=${join(settings, 'mysql-users.sql')}`,
  )
  const redis = redisRecipe(programs.redis, context('redis'))
  redis.daemon.args.push('--bind', '0.0.0.0', '--protected-mode', 'no', '--port', '0')
  redis.daemon.args.push('--tls-port', String(STORE_PORTS.redis), '--tls-auth-clients', 'no')
  redis.daemon.args.push('--tls-ca-cert-file', authority, '--tls-cert-file', cert, '--tls-key-file', key)
  redis.daemon.args.push('--aclfile', join(settings, 'redis-users.acl'))
  const rabbitmq = rabbitmqRecipe(programs.rabbitmq, context('rabbitmq'))
  const prepareRabbitmq = rabbitmq.prepare.bind(rabbitmq)
  rabbitmq.prepare = async (runToEnd) => {
    await prepareRabbitmq(runToEnd)
    const file = join(rabbitmq.folder, 'rabbitmq.config')
    writeFileSync(
      file,
      `[{rabbit, [
  {load_definitions, "${join(settings, 'rabbitmq-definitions.json')}"},
  {loopback_users, []},
  {ssl_listeners, [{"0.0.0.0", ${STORE_PORTS.rabbitmq}}]},
  {ssl_options, [{cacertfile, "${authority}"}, {certfile, "${cert}"}, {keyfile, "${key}"}, {verify, verify_none}]},
  {vm_memory_high_watermark, {absolute, 536870912}},
  {disk_free_limit, 50000000}
]}].
`,
    )
    chmodSync(file, 0o600)
  }

  const record = createProcessRecord(join(folder, `stores${RECORD_ENDING}`))
  const stores: LocalStore[] = [mysql, redis, rabbitmq].map((recipe) =>
    createLocalStore(onHost(recipe, host, STORE_PORTS[recipe.name]), record, undefined),
  )
  return {
    start: async () => void (await Promise.all(stores.map((store) => store.start()))),
    stop: async () => void (await Promise.all(stores.map((store) => store.stop()))),
  }
}

/** The same store, run on a host; it is ready when its port takes connections from here. */
function onHost(recipe: StoreRecipe, host: OwnHost, port: number): StoreRecipe {
  const there = (daemon: Daemon): Daemon => {
    const [command = '', ...args] = host.inHost([daemon.command, ...daemon.args])
    return { ...daemon, command, args }
  }
  return {
    ...recipe,
    companions: recipe.companions.map(there),
    daemon: there(recipe.daemon),
    isReady: () => connects(host.address, port),
  }
}

function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1_000 })
    const finish = (isUp: boolean) => {
      socket.destroy()
      resolve(isUp)
    }
    socket.once('connect', () => finish(true))
    socket.once('error', () => finish(false))
    socket.once('timeout', () => finish(false))
  })
}
