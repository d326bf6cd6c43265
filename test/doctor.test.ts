import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { migrateDatabase } from '@blitzbuy/core/mysql/migrate'
import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { RESERVATIONS_MADE, topologyNames } from '@blitzbuy/core/rabbitmq/topology'
import { createLog } from '@blitzbuy/core/log'
import { connect, type Channel } from 'amqplib'
import { Redis } from 'ioredis'
import { createConnection } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'

import { examine, type Patient } from '../scripts/blitz/doctor/examine.ts'
import { startStores } from '../scripts/stores/start-stores.ts'
import type { Stores } from '../scripts/stores/store.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'
import { runBlitz } from './run-blitz.ts'

/** Stores of its own: what is planted here would make other tests fail. */
let folder: TemporaryFolder
let stores: Stores
let patient: Patient
let redis: Redis
const namespace = 't-doctor'

beforeAll(async () => {
  folder = await makeTemporaryFolder()
  stores = await startStores({ folder: folder.path, given: { AMQP_URL: inject('amqpUrl') } })
  await migrateDatabase(stores.mysqlUrl)
  redis = new Redis(stores.redisUrl)
  patient = {
    mysqlUrl: stores.mysqlUrl,
    redisUrl: stores.redisUrl,
    amqpUrl: stores.amqpUrl,
    namespace,
    env: {},
  }
  await declareQueues()
}, 120_000)

afterAll(async () => {
  redis.disconnect()
  await declareQueues()
  await stores.stop()
  await folder.remove()
}, 60_000)

/** As an order-worker does at its start, and gone again with the test. */
async function declareQueues(): Promise<void> {
  const log = createLog({ name: 'test', level: 'fatal' })
  const broker = connectBroker({ url: inject('amqpUrl'), namespace, role: 'publisher', log })
  await broker.connected
  await broker.close()
}

/** MySQL settings are for its root alone. */
async function asRoot(...statements: string[]): Promise<void> {
  const { secrets } = JSON.parse(readFileSync(join(folder.path, 'stores.json'), 'utf8')) as {
    secrets: Record<string, string>
  }
  const { hostname, port } = new URL(stores.mysqlUrl)
  const connection = await createConnection({
    host: hostname,
    port: Number(port),
    user: 'root',
    password: secrets['mysql-root'] ?? '',
    database: 'blitzbuy',
  })
  for (const statement of statements) await connection.query(statement)
  await connection.end()
}

const failed = async (changes: Partial<Patient> = {}, now?: () => number): Promise<string[]> =>
  (await examine({ ...patient, ...changes }, now))
    .filter(({ verdict, check }) => verdict === 'fail' && check !== 'open files')
    .map(({ check }) => check)

interface Fault {
  check: string
  plant: () => Promise<unknown>
  heal: () => Promise<unknown>
}

const FAULTS: Fault[] = [
  {
    check: 'redis eviction policy',
    plant: () => redis.config('SET', 'maxmemory-policy', 'allkeys-lru'),
    heal: () => redis.config('SET', 'maxmemory-policy', 'noeviction'),
  },
  {
    check: 'redis append-only file',
    plant: () => redis.config('SET', 'appendonly', 'no'),
    heal: () => redis.config('SET', 'appendonly', 'yes'),
  },
  {
    check: 'redis appendfsync',
    plant: () => redis.config('SET', 'appendfsync', 'no'),
    heal: () => redis.config('SET', 'appendfsync', 'everysec'),
  },
  {
    check: 'mysql flush_log_at_trx_commit',
    plant: () => asRoot('SET GLOBAL innodb_flush_log_at_trx_commit = 2'),
    heal: () => asRoot('SET GLOBAL innodb_flush_log_at_trx_commit = 1'),
  },
  {
    check: 'mysql sync_binlog',
    plant: () => asRoot('SET GLOBAL sync_binlog = 0'),
    heal: () => asRoot('SET GLOBAL sync_binlog = 1'),
  },
  {
    check: 'mysql character set',
    plant: () => asRoot('ALTER DATABASE blitzbuy CHARACTER SET latin1'),
    heal: () => asRoot('ALTER DATABASE blitzbuy CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci'),
  },
  {
    check: 'mysql migrations',
    plant: () =>
      asRoot(
        'CREATE TABLE kept AS SELECT * FROM __drizzle_migrations ORDER BY id DESC LIMIT 1',
        'DELETE FROM __drizzle_migrations ORDER BY id DESC LIMIT 1',
      ),
    heal: () => asRoot('INSERT INTO __drizzle_migrations SELECT * FROM kept', 'DROP TABLE kept'),
  },
]

describe('blitz doctor', () => {
  it('finds nothing to put right in stores that are set up as they should be', async () => {
    expect(await failed()).toEqual([])
  })

  it.each(FAULTS)('finds a planted fault, and it alone: $check', async ({ check, plant, heal }) => {
    await plant()
    try {
      expect(await failed()).toEqual([check])
    } finally {
      await heal()
    }
  })

  it('finds a time zone that would mislead whoever looks by hand', async () => {
    await asRoot("SET GLOBAL time_zone = '+08:00'")
    const findings = await examine(patient)
    await asRoot("SET GLOBAL time_zone = '+00:00'")
    expect(findings.find(({ check }) => check === 'mysql time zone')).toMatchObject({
      verdict: 'warn',
      found: '+08:00',
    })
  })

  it('finds clocks that differ', async () => {
    expect(await failed({}, () => Date.now() - 5_000)).toEqual(['mysql clock', 'redis clock'])
  })

  it('finds credentials that everybody knows, and names them without their value', async () => {
    const env = { SESSION_SECRETS: 'replace-with-32-or-more-random-characters' }
    const findings = await examine({ ...patient, env })
    const [credentials] = findings.filter(({ check }) => check === 'credentials')
    expect(credentials).toMatchObject({ verdict: 'fail', found: 'well known: SESSION_SECRETS' })
  })

  it('finds a queue with the delivery limit of an older release, in the words of the broker', async () => {
    const old = 't-doctor-old'
    const { queue, deadLetterExchange } = topologyNames(old)
    await declareOldQueue(queue, deadLetterExchange)
    try {
      const findings = await examine({ ...patient, namespace: old })
      const finding = findings.find(({ check }) => check === 'rabbitmq queue of reservations')
      expect(finding).toMatchObject({ verdict: 'fail' })
      expect(finding?.found).toContain('x-delivery-limit')
    } finally {
      await deleteQueue(queue)
    }
  })

  it('finds a store that is away, and looks at the others all the same', async () => {
    const findings = await examine({ ...patient, amqpUrl: 'amqp://blitzbuy:x@127.0.0.1:1/%2F' })
    const byCheck = new Map(findings.map(({ check, verdict }) => [check, verdict]))
    expect(byCheck.get('rabbitmq answers')).toBe('fail')
    expect(byCheck.get('mysql migrations')).toBe('ok')
    expect(byCheck.get('redis eviction policy')).toBe('ok')
  })

  it('is a command: exit status 1 for too few open files, advice beside each finding, JSON for machines', async () => {
    const env = {
      MYSQL_URL: patient.mysqlUrl,
      REDIS_URL: patient.redisUrl,
      AMQP_URL: patient.amqpUrl,
      NAMESPACE: namespace,
    }
    const { code, stdout, stderr } = await runBlitz(['doctor'], env, { filesMax: 256 })
    expect(code).toBe(1)
    expect(stdout).toMatch(/open files +256\n.*→ ulimit -n 4096/)
    expect(stderr).toContain('1 must be put right')

    const json = await runBlitz(['doctor', '--json'], env, { filesMax: 8_192 })
    expect(json.code).toBe(0)
    const findings = json.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { check: string })
    expect(findings.length).toBeGreaterThan(15)
  })
})

async function declareOldQueue(queue: string, deadLetterExchange: string): Promise<void> {
  await onChannel(async (channel) => {
    const args = {
      'x-queue-type': 'quorum',
      'x-delivery-limit': 20,
      'x-dead-letter-exchange': deadLetterExchange,
      'x-dead-letter-routing-key': RESERVATIONS_MADE,
    }
    await channel.assertQueue(queue, { durable: true, arguments: args })
  })
}

async function deleteQueue(queue: string): Promise<void> {
  await onChannel((channel) => channel.deleteQueue(queue))
}

async function onChannel(work: (channel: Channel) => Promise<unknown>): Promise<void> {
  const connection = await connect(inject('amqpUrl'))
  await work(await connection.createChannel())
  await connection.close()
}
