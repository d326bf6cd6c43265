import {
  BLACKLIST_ENTRIES_MAX,
  createBlacklistEntries,
  type BlacklistEntry,
} from '@blitzbuy/core/gate/blacklist-entries'
import { isInForce } from '@blitzbuy/core/gate/blacklist-index'
import type { Subject } from '@blitzbuy/core/gate/blacklist-subject'
import { createChangeBlacklist, type ChangeBlacklist, type Named } from '@blitzbuy/core/gate/change-blacklist'
import { InvalidArgumentError, type Command } from 'commander'

import { StepFailed } from '../steps.mjs'
import { actorHere, say, withSystem, type System } from './connect-system.ts'

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

const HELP = `
In force on every api within two seconds; a blacklisted user, number or address is answered 403 \`blocked\`, and all
sessions of the account end. Orders made before stand. A phone number stands for its account too. --user, --phone
and --address may be repeated. What is done is written to the audit log.

  pnpm -s blitz blacklist add --user 7 --reason "resells" --for 2h
  pnpm -s blitz blacklist add --address 198.51.100.0/24 --address 2001:db8::/48 --reason "bot farm" --for 30d
  pnpm -s blitz blacklist remove --phone "+86 138 0013 8000" --reason "talked to them"
  pnpm -s blitz blacklist list > blacklist.jsonl

Exit status: 0 done; 1 not done, with the reason on stderr.
MYSQL_URL, REDIS_URL and NAMESPACE name the system; when none of them is set, it is the \`npm start\` that runs here.
`

interface Naming {
  user: string[]
  phone: string[]
  address: string[]
}
interface Changing extends Naming {
  dryRun?: true
  json?: true
  actor?: string
}

export function registerBlacklist(blitz: Command): void {
  const blacklist = blitz
    .command('blacklist')
    .description('who may not buy: adds, removes, lists')
    .helpCommand(false)
    .addHelpText('after', HELP)

  changing(blacklist.command('add').description('puts somebody on the blacklist, or changes what it says'))
    .requiredOption('--reason <text>', 'why, for other operators; the shopper does not see it')
    .option('--for <time>', 'how long: 90s, 30m, 2h, 7d; without it until removed', duration)
    .action(add)
  changing(blacklist.command('remove').description('takes somebody off the blacklist'))
    .option('--reason <text>', 'why, for the audit log', '')
    .action(remove)
  blacklist
    .command('list')
    .description('prints one JSON object a line on stdout')
    .action(() => withSystem(list))
}

function changing(command: Command): Command {
  return command
    .option('--user <id>', 'the id of an account', collect, [])
    .option('--phone <number>', 'a US or Chinese phone number, and its account', collect, [])
    .option('--address <address>', 'an address or a CIDR range', collect, [])
    .option('--dry-run', 'says who is meant, and does nothing')
    .option('--json', 'one JSON object on stdout')
    .option('--actor <name>', 'who does it, for the audit log; else who is logged in here')
}

async function add(options: Changing & { reason: string; for?: number }): Promise<void> {
  await changeBlacklist('blacklist.add', options, async (blacklist, subjects) => {
    const { reason, for: lastsMs } = options
    const outcome = await blacklist.add(subjects, { reason, lastsMs }, actorHere(options.actor))
    if (outcome === 'full') throw new StepFailed(`The blacklist is full (${BLACKLIST_ENTRIES_MAX} entries).`)
    return `on the blacklist: ${subjects.join(', ')}`
  })
}

async function remove(options: Changing & { reason: string }): Promise<void> {
  await changeBlacklist('blacklist.remove', options, async (blacklist, subjects) => {
    const removed = await blacklist.remove(subjects, options.reason, actorHere(options.actor))
    return `${removed} of ${subjects.length} taken off: ${subjects.join(', ')}`
  })
}

/** @param act answers what a person should read about it. */
async function changeBlacklist(
  action: string,
  { dryRun, json, ...naming }: Changing,
  act: (blacklist: ChangeBlacklist, subjects: Subject[]) => Promise<string>,
): Promise<void> {
  await withSystem(async ({ mysql, redis, origin }) => {
    const blacklist = createChangeBlacklist({ mysql, entries: createBlacklistEntries(redis) })
    const subjects = await subjectsOf(naming, blacklist)
    say(`in ${origin}`)
    say(
      dryRun
        ? `dry run, nothing was done: ${action} of ${subjects.join(', ')}`
        : await act(blacklist, subjects),
    )
    if (json) process.stdout.write(`${JSON.stringify({ action, dryRun: dryRun ?? false, subjects })}\n`)
  })
}

/** Who is meant, once each; with every name that is none told at once. */
async function subjectsOf(naming: Naming, blacklist: ChangeBlacklist): Promise<Subject[]> {
  const named: Named[] = (['user', 'phone', 'address'] as const).flatMap((kind) =>
    naming[kind].map((text) => ({ kind, text })),
  )
  if (named.length === 0) throw new StepFailed('Name somebody: --user, --phone or --address.')
  const subjects = new Set<Subject>()
  const problems: string[] = []
  for (const { kind, text } of named) {
    const meant = await blacklist.subjectsOf({ kind, text })
    if ('problem' in meant) problems.push(`--${kind} ${text}: ${meant.problem}`)
    else for (const subject of meant.subjects) subjects.add(subject)
  }
  if (problems.length > 0) throw new StepFailed(problems.join('\n'))
  return [...subjects]
}

async function list({ redis }: System): Promise<void> {
  const nowMs = Date.now()
  for await (const page of createBlacklistEntries(redis).pages()) {
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

function collect(text: string, before: string[]): string[] {
  return [...before, text]
}

function duration(text: string): number {
  const [, amount, unit] = /^([1-9]\d{0,5})([smhd])$/.exec(text) ?? []
  if (amount && unit) return Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS]
  throw new InvalidArgumentError('It must be a time such as 90s, 30m, 2h or 7d.')
}
