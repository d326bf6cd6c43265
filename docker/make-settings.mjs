#!/usr/bin/env node
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/*
 * Makes what every host of a system needs before its first start, with secrets that nobody has seen:
 *
 *   <role>.env                 the settings of api, order-worker, stock-warmer, migrate and operator
 *   mysql-users.sql            a MySQL user for each role, with what it needs and no more
 *   redis-users.acl            the same for Redis
 *   rabbitmq-definitions.json  the same for RabbitMQ, with the queues that all of them use
 *
 * Needs nothing but Node. docs/operations.md says which file goes where.
 */
const HELP = `Usage: node docker/make-settings.mjs [options]

  --folder <path>      where to put them (docker/settings)
  --origin <url>       what shoppers see in the address bar (http://localhost:8080)
  --mysql <host:port>  (mysql:3306)
  --redis <host:port>  (redis:6379)
  --rabbitmq <host:port>  (rabbitmq:5672)
  --database <name>    (blitzbuy)
  --namespace <name>   the prefix of Redis keys and RabbitMQ names (blitzbuy)
  --tls                every store is spoken to by TLS, and takes nothing else from these users
  --force              overwrite: new passwords, and everybody is logged out
  --help`

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: join(dirname(fileURLToPath(import.meta.url)), 'settings') },
    origin: { type: 'string', default: 'http://localhost:8080' },
    mysql: { type: 'string', default: 'mysql:3306' },
    redis: { type: 'string', default: 'redis:6379' },
    rabbitmq: { type: 'string', default: 'rabbitmq:5672' },
    database: { type: 'string', default: 'blitzbuy' },
    namespace: { type: 'string', default: 'blitzbuy' },
    tls: { type: 'boolean', default: false },
    force: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(`${HELP}\n`)
  process.exit()
}
const problems = [
  ...['mysql', 'redis', 'rabbitmq']
    .filter((name) => !/^[\w.-]+:\d{1,5}$/.test(values[name]))
    .map((name) => `--${name} is malformed; expected host:port`),
  ...(/^\w{1,64}$/.test(values.database) ? [] : ['--database is malformed; expected letters, digits and _']),
  ...(/^[a-z][a-z0-9-]{0,31}$/.test(values.namespace)
    ? []
    : ['--namespace is malformed; expected lower-case letters, digits and dashes']),
  ...(/^https?:\/\/[^/\s]+$/.test(values.origin)
    ? []
    : ['--origin is malformed; expected http(s)://host without a path']),
]
const folder = resolve(values.folder)
if (existsSync(join(folder, 'api.env')) && !values.force) {
  problems.push(`${folder} has settings already; --force makes new ones, with new passwords for every store`)
}
if (problems.length > 0) {
  process.stderr.write(`make-settings: ${problems.join('\nmake-settings: ')}\n`)
  process.exit(1)
}

const secret = () => randomBytes(36).toString('base64url')
const { database, namespace, tls } = values

/** What each role may do in each store. `migrate` changes tables and knows no other store. */
const roles = {
  api: {
    mysql: 'SELECT, INSERT, UPDATE',
    // An operator's second factor can be replaced.
    deletesFrom: ['second_factors', 'recovery_codes'],
    redisKeys: ['*'],
    amqp: { write: `^${namespace}\\.reservations$`, read: '^$' },
    secrets: [
      'SESSION_SECRETS',
      'ORDER_ID_SECRETS',
      'PURCHASE_TOKEN_SECRETS',
      'PAYMENT_CALLBACK_SECRETS',
      'SECOND_FACTOR_SECRETS',
    ],
  },
  'order-worker': {
    mysql: 'SELECT, INSERT, UPDATE',
    // No sessions, no captchas.
    redisKeys: ['{sale:*', '{blacklist}*'],
    amqp: {
      write: `^${namespace}\\.dead-letters$`,
      read: `^${namespace}\\.order-worker:reservations:place$`,
    },
    secrets: [],
  },
  'stock-warmer': {
    mysql: 'SELECT, INSERT, UPDATE',
    redisKeys: ['{sale:*', 'kept-sales', 'lock:*'],
    amqp: { write: `^${namespace}\\.reservations$`, read: '^$' },
    secrets: [],
  },
  migrate: {
    mysql: 'SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES',
    secrets: [],
  },
  operator: {
    mysql: 'SELECT, INSERT, UPDATE',
    deletesFrom: ['second_factors', 'recovery_codes'],
    redisKeys: ['*'],
    // Holds dead letters in a queue of its own, compares the queues with what they should be, publishes again.
    amqp: { configure: `^${namespace}\\.`, write: `^${namespace}\\.`, read: `^${namespace}\\.` },
    secrets: [],
  },
}
for (const role of Object.values(roles))
  role.passwords = { mysql: secret(), redis: secret(), rabbitmq: secret() }

const files = {
  ...Object.fromEntries(Object.keys(roles).map((name) => [`${name}.env`, environmentOf(name)])),
  'mysql.env': lines(`MYSQL_ROOT_PASSWORD=${secret()}`, `MYSQL_DATABASE=${database}`),
  'grafana.env': lines(`GF_SECURITY_ADMIN_PASSWORD=${secret()}`),
  'mysql-users.sql': mysqlUsers(),
  'redis-users.acl': redisUsers(),
  'rabbitmq-definitions.json': `${JSON.stringify(rabbitmqDefinitions(), null, 2)}\n`,
}
// The folder is ours alone; the files in it are read by the stores, each by a user of its own.
mkdirSync(folder, { recursive: true, mode: 0o700 })
for (const [name, text] of Object.entries(files)) {
  writeFileSync(join(folder, name), text, { mode: name.endsWith('.env') ? 0o600 : 0o644 })
}
process.stdout.write(`${Object.keys(files).length} files in ${folder}: ${Object.keys(files).join(', ')}\n`)

function environmentOf(name) {
  const { passwords, secrets, redisKeys, amqp } = roles[name]
  const at = (store) => `${name}:${passwords[store]}@${values[store]}`
  // Which name a certificate must have is said too: without, mysql2 would take any that the authority has signed.
  const ofTls = tls ? `?ssl=${encodeURIComponent('{"verifyIdentity":true}')}` : ''
  return lines(
    'NODE_ENV=production',
    `MYSQL_URL=mysql://${at('mysql')}/${database}${ofTls}`,
    redisKeys && `REDIS_URL=redis${tls ? 's' : ''}://${at('redis')}/0`,
    amqp && `AMQP_URL=amqp${tls ? 's' : ''}://${at('rabbitmq')}/%2F`,
    amqp && !amqp.configure && 'AMQP_TOPOLOGY=given',
    `NAMESPACE=${namespace}`,
    name === 'api' && `PUBLIC_ORIGIN=${values.origin}`,
    ...secrets.map((variable) => `${variable}=${secret()}`),
  )
}

function mysqlUsers() {
  const statements = Object.entries(roles).flatMap(([name, { mysql, deletesFrom = [], passwords }]) => [
    `CREATE USER IF NOT EXISTS '${name}'@'%' IDENTIFIED BY '${passwords.mysql}'${tls ? ' REQUIRE SSL' : ''}`,
    `GRANT ${mysql} ON \`${database}\`.* TO '${name}'@'%'`,
    // With CREATE: on a table that is not there yet nothing else can be granted.
    ...deletesFrom.map((table) => `GRANT DELETE, CREATE ON \`${database}\`.\`${table}\` TO '${name}'@'%'`),
  ])
  return lines(
    '-- Nobody but migrate can change or remove a table, or delete what a sale has left.',
    `CREATE DATABASE IF NOT EXISTS \`${database}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;`,
    ...statements.map((statement) => `${statement};`),
    '-- For health checks: may log in, and see nothing.',
    "CREATE USER IF NOT EXISTS 'health'@'127.0.0.1' IDENTIFIED BY 'health';",
  )
}

function redisUsers() {
  const users = Object.entries(roles).flatMap(([name, { redisKeys, passwords }]) => {
    if (!redisKeys) return []
    const keys = redisKeys.map((pattern) => `~${namespace}:${pattern}`).join(' ')
    // Not FLUSHALL, KEYS, CONFIG and the like. INFO tells a connection that the data is loaded.
    const rules = `resetkeys ${keys} resetchannels &${namespace}:* -@all +@all -@admin -@dangerous +info`
    return [`user ${name} on #${createHash('sha256').update(passwords.redis).digest('hex')} ${rules}`]
  })
  return lines('user default off', ...users, 'user health on nopass resetkeys resetchannels -@all +ping')
}

function rabbitmqDefinitions() {
  const vhost = '/'
  const users = Object.entries(roles).filter(([, { amqp }]) => amqp)
  const exchange = (name) => ({
    name,
    vhost,
    type: 'topic',
    durable: true,
    auto_delete: false,
    internal: false,
    arguments: {},
  })
  const quorum = { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000 }
  const queue = (name, args) => ({
    name,
    vhost,
    durable: true,
    auto_delete: false,
    arguments: { ...quorum, ...args },
  })
  const binding = (source, destination, routing_key) => ({
    source,
    vhost,
    destination,
    destination_type: 'queue',
    routing_key,
    arguments: {},
  })
  const reservations = `${namespace}.reservations`
  const deadLetters = `${namespace}.dead-letters`
  const place = `${namespace}.order-worker:reservations:place`
  const dead = `${namespace}.order-worker:reservations:dead`
  return {
    vhosts: [{ name: vhost }],
    users: users.map(([name, { passwords }]) => ({
      name,
      password_hash: rabbitmqHash(passwords.rabbitmq),
      hashing_algorithm: 'rabbit_password_hashing_sha256',
      tags: '',
    })),
    // No process may declare or delete anything.
    permissions: users.map(([user, { amqp }]) => ({ user, vhost, configure: '^$', ...amqp })),
    exchanges: [exchange(reservations), exchange(deadLetters)],
    queues: [
      queue(place, {
        'x-dead-letter-exchange': deadLetters,
        'x-dead-letter-routing-key': 'reservations.made',
      }),
      queue(dead, {}),
    ],
    bindings: [binding(reservations, place, 'reservations.made'), binding(deadLetters, dead, '#')],
  }
}

/** As RabbitMQ keeps it: four random bytes, and the digest of them and the password. */
function rabbitmqHash(password) {
  const salt = randomBytes(4)
  const digest = createHash('sha256').update(salt).update(password).digest()
  return Buffer.concat([salt, digest]).toString('base64')
}

function lines(...texts) {
  return `${texts.filter(Boolean).join('\n')}\n`
}
