import { SharedConfig } from '@blitzbuy/core/config'
import {
  BLACKLIST_ENTRIES_MAX,
  createBlacklistEntries,
  type BlacklistEntries,
  type BlacklistEntry,
} from '@blitzbuy/core/gate/blacklist-entries'
import { isInForce } from '@blitzbuy/core/gate/blacklist-index'
import {
  networkSubject,
  phoneSubject,
  userSubject,
  type Subject,
} from '@blitzbuy/core/gate/blacklist-subject'
import { formatNetwork, parseNetwork, type IpNetwork } from '@blitzbuy/core/ip-address'
import { connectMysql, type Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'
import { parsePhone } from '@blitzbuy/core/user/phone'
import { InvalidArgumentError, type Command } from 'commander'
import type { RowDataPacket } from 'mysql2/promise'
import { Type } from 'typebox'

import { StepFailed } from '../steps.mjs'
import { readSystemSettings } from './environment.ts'

const BlacklistConfig = Type.Object({
  MYSQL_URL: SharedConfig.properties.MYSQL_URL,
  REDIS_URL: SharedConfig.properties.REDIS_URL,
  NAMESPACE: SharedConfig.properties.NAMESPACE,
})

const READY_WITHIN_MS = 5_000
const REDIS_TIMEOUT_MS = 20_000
/** A wider range is a typing error that shuts out a continent. */
const PREFIX_MIN = { 4: 8, 6: 20 }
const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const HELP = `
In force on every api within two seconds; a blacklisted user, number or address is answered 403 \`blocked\`, and all
sessions of the account end. Orders made before stand. A phone number stands for its account too. Every option may be
repeated.

  pnpm -s blitz blacklist add --user 7 --reason "resells" --for 2h
  pnpm -s blitz blacklist add --address 198.51.100.0/24 --address 2001:db8::/48 --reason "bot farm" --for 30d
  pnpm -s blitz blacklist remove --phone "+86 138 0013 8000"
  pnpm -s blitz blacklist list > blacklist.jsonl

MYSQL_URL, REDIS_URL and NAMESPACE name the system; when none of them is set, it is the \`npm start\` that runs here.
`

interface Named {
  user: number[]
  phone: string[]
  address: IpNetwork[]
}

export function registerBlacklist(blitz: Command): void {
  const blacklist = blitz
    .command('blacklist')
    .description('who may not buy: adds, removes, lists')
    .helpCommand(false)
    .addHelpText('after', HELP)

  naming(blacklist.command('add').description('puts somebody on the blacklist, or changes what it says'))
    .requiredOption('--reason <text>', 'why, for other operators; the shopper does not see it')
    .option('--for <time>', 'how long: 90s, 30m, 2h, 7d; without it until removed', duration)
    .action(add)
  naming(blacklist.command('remove').description('takes somebody off the blacklist')).action(remove)
  blacklist
    .command('list')
    .description('prints one JSON object a line on stdout')
    .action(() => withSystem(list))
}

function naming(command: Command): Command {
  return command
    .option('--user <id>', 'the id of an account', collect(userId), [])
    .option('--phone <number>', 'a US or Chinese phone number, and its account', collect(phone), [])
    .option('--address <address>', 'an address or a CIDR range', collect(network), [])
}

async function add({
  reason,
  for: lastsMs,
  ...named
}: Named & { reason: string; for?: number }): Promise<void> {
  await withSystem(async ({ entries, mysql }) => {
    const subjects = await subjectsOf(named, mysql)
    const outcome = await entries.put(
      subjects.map((subject) => ({ subject, cause: 'operator', reason, lastsMs })),
    )
    if (outcome === 'full') throw new StepFailed(`The blacklist is full (${BLACKLIST_ENTRIES_MAX} entries).`)
    for (const subject of subjects) say(`on the blacklist: ${subject}`)
  })
}

async function remove(named: Named): Promise<void> {
  await withSystem(async ({ entries, mysql }) => {
    const subjects = await subjectsOf(named, mysql)
    say(`${await entries.remove(subjects)} of ${subjects.length} taken off: ${subjects.join(', ')}`)
  })
}

async function list({ entries }: System): Promise<void> {
  const nowMs = Date.now()
  for await (const page of entries.pages()) {
    const lines = page.filter((entry) => isInForce(entry, nowMs)).map(printed)
    if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`)
  }
}

function printed({ subject, cause, reason, addedAtMs, expiresAtMs }: BlacklistEntry): string {
  return JSON.stringify({
    subject,
    cause,
    reason,
    added: new Date(addedAtMs).toISOString(),
    expires: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString(),
  })
}

/** Whoever is logged in already is known by their account alone, so a number brings its account with it. */
async function subjectsOf({ user, phone: phones, address }: Named, mysql: Mysql): Promise<Subject[]> {
  const subjects = [
    ...user.map(userSubject),
    ...phones.map(phoneSubject),
    ...(await usersOf(phones, mysql)).map(userSubject),
    ...address.map(networkSubject),
  ]
  if (subjects.length === 0) throw new StepFailed('Name somebody: --user, --phone or --address.')
  return [...new Set(subjects)]
}

async function usersOf(phones: string[], mysql: Mysql): Promise<number[]> {
  if (phones.length === 0) return []
  return mysql.use(async ({ connection }) => {
    const [rows] = await connection.query<(RowDataPacket & { id: number })[]>(
      'SELECT id FROM users WHERE phone IN (?)',
      [phones],
    )
    return rows.map((row) => row.id)
  })
}

interface System {
  entries: BlacklistEntries
  mysql: Mysql
}

async function withSystem(work: (system: System) => Promise<void>): Promise<void> {
  const { settings, origin } = readSystemSettings(BlacklistConfig, { allowsProduction: true })
  const mysql = connectMysql(settings.MYSQL_URL, { connectionLimit: 1 })
  const redis = connectRedis({
    url: settings.REDIS_URL,
    namespace: settings.NAMESPACE,
    commandTimeoutMs: REDIS_TIMEOUT_MS,
  })
  try {
    await redisReady(redis, READY_WITHIN_MS)
    say(`in ${origin}`)
    await work({ entries: createBlacklistEntries(redis), mysql })
  } finally {
    redis.disconnect()
    await mysql.close()
  }
}

function collect<T>(parse: (text: string) => T): (text: string, before: T[]) => T[] {
  return (text, before) => [...before, parse(text)]
}

function userId(text: string): number {
  if (/^[1-9]\d{0,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be the number of an account.')
}

function phone(text: string): string {
  const e164 = parsePhone(text)
  if (e164 !== undefined) return e164
  throw new InvalidArgumentError('It is no US or Chinese phone number.')
}

function network(text: string): IpNetwork {
  const parsed = parseNetwork(text)
  if (!parsed) throw new InvalidArgumentError('It must be an address or a range, e.g. 198.51.100.0/24.')
  if (parsed.prefix < PREFIX_MIN[parsed.family])
    throw new InvalidArgumentError(
      `${formatNetwork(parsed)} is too wide: /${PREFIX_MIN[parsed.family]} at most.`,
    )
  // As networks are given out. Every length in use costs each look-up half a microsecond.
  if (parsed.family === 6 && parsed.prefix !== 128 && (parsed.prefix > 64 || parsed.prefix % 4 !== 0))
    throw new InvalidArgumentError('An IPv6 range is a /20, /24, … /64: a multiple of four.')
  return parsed
}

function duration(text: string): number {
  const [, amount, unit] = /^([1-9]\d{0,5})([smhd])$/.exec(text) ?? []
  if (amount && unit) return Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS]
  throw new InvalidArgumentError('It must be a time such as 90s, 30m, 2h or 7d.')
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
