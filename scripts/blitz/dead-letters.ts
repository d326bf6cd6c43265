import { createInterface } from 'node:readline/promises'

import { SharedConfig } from '@blitzbuy/core/config'
import { writeAuditEntry, type Actor } from '@blitzbuy/core/mysql/audit-log'
import { connectMysql, type Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import {
  createDeadLetters,
  DeadLettersInHand,
  type BeforeAct,
  type DeadLetter,
  type DeadLetters,
} from '@blitzbuy/core/rabbitmq/dead-letters'
import type { Command } from 'commander'
import { Type } from 'typebox'

import { StepFailed } from '../steps.mjs'
import { actorHere, say } from './connect-system.ts'
import { readSystemSettings } from './environment.ts'
import { wholeNumber } from './option-values.ts'

const DeadLettersConfig = Type.Object({
  MYSQL_URL: SharedConfig.properties.MYSQL_URL,
  AMQP_URL: SharedConfig.properties.AMQP_URL,
  NAMESPACE: SharedConfig.properties.NAMESPACE,
})

const LISTED_MAX = 10_000
const LISTED = 100

const HELP = `
A dead letter is a message that no worker could ever work off: its buyer reads "rejected", or, of a body that cannot be
read, is published again from Redis. Looking loses and reorders nothing. Replay publishes a letter to the workers again;
an order that is decided stays as it is. Replay and drop are written to the audit log.

  pnpm -s blitz dead-letters ls
  pnpm -s blitz dead-letters show 6b1f7c1e-7a55-4d0e-9a3e-0c1d2e3f4a5b
  pnpm -s blitz dead-letters replay 6b1f7c1e-7a55-4d0e-9a3e-0c1d2e3f4a5b
  pnpm -s blitz dead-letters drop --all --yes

Exit status: 0 done, or nothing to do; 1 not done, with the reason on stderr.
MYSQL_URL, AMQP_URL and NAMESPACE name the system; when none of them is set, it is the \`npm start\` that runs here.
`

interface Changing {
  all?: true
  dryRun?: true
  json?: true
  actor?: string
}

export function registerDeadLetters(blitz: Command): void {
  const deadLetters = blitz
    .command('dead-letters')
    .description('messages that no worker could work off: lists, shows, replays, drops')
    .helpCommand(false)
    .addHelpText('after', HELP)

  deadLetters
    .command('ls')
    .description('the oldest first')
    .option('--limit <n>', 'how many', wholeNumber(1, LISTED_MAX), LISTED)
    .option('--json', 'one JSON object a line on stdout')
    .action(list)
  deadLetters
    .command('show')
    .description('one letter with its body, as JSON')
    .argument('<id>', 'as ls prints it')
    .action(show)
  changing(deadLetters.command('replay').description('publishes them to the workers again')).action(replay)
  changing(deadLetters.command('drop').description('forgets them for good'))
    .option('--yes', 'does not ask')
    .action(drop)
}

function changing(command: Command): Command {
  return command
    .argument('[ids...]', 'as ls prints them')
    .option('--all', 'every letter that is there now')
    .option('--dry-run', 'says what would be done, and does nothing')
    .option('--json', 'one JSON object a line on stdout')
    .option('--actor <name>', 'who does it, for the audit log; else who is logged in here')
}

async function list({ limit, json }: { limit: number; json?: true }): Promise<void> {
  await withDeadLetters(async ({ deadLetters, origin }) => {
    const letters = await deadLetters.list(limit)
    for (const letter of letters) print(json ? JSON.stringify(toJson(letter)) : describe(letter))
    if (letters.length === 0) say(`no dead letters in ${origin}`)
    else if (letters.length === limit) say(`the first ${limit}; --limit shows more`)
  })
}

async function show(letterId: string): Promise<void> {
  await withDeadLetters(async ({ deadLetters, origin }) => {
    const letter = (await deadLetters.list(LISTED_MAX)).find((one) => one.letterId === letterId)
    if (!letter) throw new StepFailed(`There is no dead letter ${letterId} in ${origin}.`)
    print(JSON.stringify({ ...toJson(letter), body: letter.body.toString('utf8') }, undefined, 2))
  })
}

async function replay(letterIds: string[], options: Changing): Promise<void> {
  await change(letterIds, options, 'dead-letter.replay', (deadLetters, which, before) =>
    deadLetters.replay(which, before),
  )
}

async function drop(letterIds: string[], options: Changing & { yes?: true }): Promise<void> {
  if (!options.yes && !options.dryRun) await confirm(options.all ? 'all' : String(letterIds.length))
  await change(letterIds, options, 'dead-letter.drop', (deadLetters, which, before) =>
    deadLetters.drop(which, before),
  )
}

async function change(
  letterIds: string[],
  { all, dryRun, json, actor }: Changing,
  action: string,
  act: (
    deadLetters: DeadLetters,
    which: ReadonlySet<string> | 'all',
    before: BeforeAct,
  ) => Promise<DeadLetter[]>,
): Promise<void> {
  if (letterIds.length > 0 === (all === true))
    throw new StepFailed('Name letters by their ids, or say --all.')
  const which = all ? 'all' : new Set(letterIds)
  await withDeadLetters(async ({ deadLetters, mysql, origin }) => {
    const letters = dryRun
      ? (await deadLetters.list(LISTED_MAX)).filter(({ letterId }) => which === 'all' || which.has(letterId))
      : await act(deadLetters, which, auditOf(mysql, action, actorHere(actor)))
    for (const letter of letters)
      print(json ? JSON.stringify({ action, dryRun: dryRun ?? false, ...toJson(letter) }) : describe(letter))
    say(`${dryRun ? 'dry run, nothing was done: ' : ''}${action} of ${letters.length} in ${origin}`)
    const found = new Set(letters.map(({ letterId }) => letterId))
    const missing = letterIds.filter((letterId) => !found.has(letterId))
    if (missing.length > 0) throw new StepFailed(`There is no dead letter ${missing.join(', ')}.`)
  })
}

/** Before the act: an entry without its act misleads for a moment, an act without its entry for ever. */
function auditOf(mysql: Mysql, action: string, actor: Actor): BeforeAct {
  return (letter) =>
    mysql.use(({ connection }) =>
      writeAuditEntry(connection, {
        actor,
        action,
        subject: `dead-letter:${letter.letterId}`,
        details: toJson(letter),
      }),
    )
}

/** It cannot be taken back. */
async function confirm(expected: string): Promise<void> {
  if (!process.stdin.isTTY) throw new StepFailed('Dropping is for good: say --yes when nobody can be asked.')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const typed = await terminal.question(`Dropping is for good. Type ${expected} to drop: `)
  terminal.close()
  if (typed.trim() !== expected) throw new StepFailed('Not dropped.')
}

async function withDeadLetters(
  work: (system: { deadLetters: DeadLetters; mysql: Mysql; origin: string }) => Promise<void>,
): Promise<void> {
  const { settings, origin } = readSystemSettings(DeadLettersConfig, { allowsProduction: true })
  const mysql = connectMysql(settings.MYSQL_URL, { connectionLimit: 1 })
  try {
    const deadLetters = createDeadLetters({ url: settings.AMQP_URL, namespace: settings.NAMESPACE })
    await work({ deadLetters, mysql, origin })
  } catch (error) {
    throw error instanceof DeadLettersInHand ? new StepFailed(`${error.message}.`) : error
  } finally {
    await mysql.close()
  }
}

function describe({ letterId, cause, detail, saleId, orderId, requestId, diedAtMs }: DeadLetter): string {
  const words = [
    diedAtMs === undefined ? undefined : new Date(diedAtMs).toISOString(),
    cause,
    saleId === undefined ? undefined : `sale ${saleId}`,
    orderId && `order ${orderId}`,
    requestId && `request ${requestId}`,
    detail,
  ]
  return `${letterId}  ${words.filter(Boolean).join('  ')}`
}

function toJson({ body, diedAtMs, ...letter }: DeadLetter): Record<string, unknown> {
  return {
    ...letter,
    died: diedAtMs === undefined ? null : new Date(diedAtMs).toISOString(),
    bodyBytes: body.length,
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
