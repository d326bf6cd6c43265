import { text } from 'node:stream/consumers'

import { createBlacklistEntries } from '@blitzbuy/core/gate/blacklist-entries'
import { userSubject } from '@blitzbuy/core/gate/blacklist-subject'
import { createChangeBlacklist } from '@blitzbuy/core/gate/change-blacklist'
import { isAcceptablePassword } from '@blitzbuy/core/user/password'
import { createManageAccounts, newPassword, type ManageAccounts } from '@blitzbuy/core/user/manage-accounts'
import { createSealer } from '@blitzbuy/core/user/sealed-secret'
import { createSecondFactors } from '@blitzbuy/core/user/second-factors'
import { createSessions } from '@blitzbuy/core/user/sessions'
import { Option, type Command } from 'commander'

import { StepFailed } from '../steps.mjs'
import { actorHere, say, withSystem, type System } from './connect-system.ts'
import { wholeNumber } from './option-values.ts'

const HELP = `
The first operator is made here; the second factor is set up at the first login, in the browser. A password is read from
stdin with --password-stdin; without it one is made up and printed, once, on stdout.

  pnpm -s blitz user create --role operator --phone "+86 138 0013 8000" --name "On call"
  printf %s "$PASSWORD" | pnpm -s blitz user reset-password 7 --password-stdin
  pnpm -s blitz user disable 7 --reason "left the company"      (undone by: blacklist remove --user 7)

Exit status: 0 done; 1 not done, with the reason on stderr.
MYSQL_URL, REDIS_URL and NAMESPACE name the system; when none of them is set, it is the \`npm start\` that runs here.
`

interface Changing {
  actor?: string
  json?: true
}

const userIdOf = wholeNumber(1, 2 ** 32 - 1)

export function registerUser(blitz: Command): void {
  const user = blitz
    .command('user')
    .description('accounts: creates, disables, shows, logs out, resets passwords')
    .helpCommand(false)
    .addHelpText('after', HELP)

  changing(user.command('create').description('makes an account'))
    .requiredOption('--phone <number>', 'a US or Chinese phone number: what it logs in with')
    .option('--name <text>', 'how others see it; else the masked number')
    .addOption(
      new Option('--role <role>', 'what it may do').choices(['shopper', 'operator']).default('shopper'),
    )
    .option('--password-stdin', 'reads the password from stdin')
    .action(create)
  user
    .command('show')
    .description('an account, by id or by phone number')
    .argument('<id-or-phone>')
    .option('--json', 'one JSON object on stdout')
    .action(show)
  user
    .command('sessions')
    .description('where it is logged in')
    .argument('<id>', 'of the account', userIdOf)
    .option('--json', 'one JSON object a line on stdout')
    .action(sessions)
  changing(user.command('logout-all').description('ends all its sessions, everywhere'))
    .argument('<id>', 'of the account', userIdOf)
    .action(logoutAll)
  changing(user.command('reset-password').description('a new password; all its sessions end'))
    .argument('<id>', 'of the account', userIdOf)
    .option('--password-stdin', 'reads the password from stdin')
    .action(resetPassword)
  changing(
    user
      .command('reset-second-factor')
      .description('for an operator who lost the app and the recovery codes'),
  )
    .argument('<id>', 'of the account', userIdOf)
    .action(resetSecondFactor)
  changing(user.command('disable').description('ends all its sessions and lets it log in no more'))
    .argument('<id>', 'of the account', userIdOf)
    .requiredOption('--reason <text>', 'why, for other operators')
    .action(disable)
}

function changing(command: Command): Command {
  return command
    .option('--actor <name>', 'who does it, for the audit log; else who is logged in here')
    .option('--json', 'one JSON object on stdout')
}

async function create(
  options: Changing & { phone: string; name?: string; role: 'shopper' | 'operator'; passwordStdin?: true },
): Promise<void> {
  const chosen = await choosePassword(options)
  await withAccounts(async ({ accounts, origin }) => {
    const { phone, name: nickname, role } = options
    const outcome = await accounts.create(
      { phone, nickname, role, password: chosen.password },
      actorHere(options.actor),
    )
    switch (outcome.kind) {
      case 'phone_invalid':
        throw new StepFailed(`${phone} is no US or Chinese phone number.`)
      case 'phone_taken':
        throw new StepFailed(`${phone} has an account already: blitz user show "${phone}".`)
      case 'password_weak':
        throw new StepFailed(
          'The password needs 8 to 128 characters, and must not be one that many people have.',
        )
      case 'created':
    }
    const { userId } = outcome
    if (options.json)
      print(JSON.stringify({ userId, role, ...(chosen.isNew && { password: chosen.password }) }))
    else if (chosen.isNew) print(chosen.password)
    say(`${role} ${userId} made in ${origin}${chosen.isNew ? '; its password is on stdout' : ''}`)
    if (role === 'operator') say('at the first login under /admin the second factor is set up')
  })
}

async function show(who: string, { json }: { json?: true }): Promise<void> {
  await withAccounts(async ({ accounts, origin }) => {
    const account = await accounts.find(/^\d{1,10}$/.test(who) ? { userId: Number(who) } : { phone: who })
    if (!account) throw new StepFailed(`There is no account ${who} in ${origin}.`)
    const { userId, nickname, phoneMasked, role } = account
    print(json ? JSON.stringify(account) : `user ${userId}  ${role}  ${nickname}  ${phoneMasked}`)
  })
}

async function sessions(userId: number, { json }: { json?: true }): Promise<void> {
  await withAccounts(async ({ system }) => {
    const own = await createSessions(system.redis).listOf(userId, '')
    for (const { id, device, createdAtMs, lastSeenAtMs } of own) {
      const [created, lastSeen] = [createdAtMs, lastSeenAtMs].map((ms) => new Date(ms).toISOString())
      print(
        json
          ? JSON.stringify({ id, device, created, lastSeen })
          : `${id}  since ${created}  seen ${lastSeen}  ${device}`,
      )
    }
    if (own.length === 0) say(`user ${userId} is logged in nowhere`)
  })
}

async function logoutAll(userId: number, { actor, json }: Changing): Promise<void> {
  await withAccounts(async ({ accounts, origin }) => {
    if (!(await accounts.endSessions(userId, actorHere(actor))))
      throw new StepFailed(`There is no account ${userId} in ${origin}.`)
    if (json) print(JSON.stringify({ userId, action: 'user.logout-all' }))
    say(`user ${userId} is logged out everywhere`)
  })
}

async function resetPassword(userId: number, options: Changing & { passwordStdin?: true }): Promise<void> {
  const chosen = await choosePassword(options)
  if (!isAcceptablePassword(chosen.password))
    throw new StepFailed('The password needs 8 to 128 characters, and must not be one that many people have.')
  await withAccounts(async ({ accounts, origin }) => {
    if (!(await accounts.resetPassword(userId, chosen.password, actorHere(options.actor))))
      throw new StepFailed(`There is no account ${userId} in ${origin}.`)
    if (options.json) print(JSON.stringify({ userId, ...(chosen.isNew && { password: chosen.password }) }))
    else if (chosen.isNew) print(chosen.password)
    say(`user ${userId} has a new password, and is logged out everywhere`)
  })
}

/** Nothing is sealed or opened for it, so no secret of the apis is needed. */
async function resetSecondFactor(userId: number, { actor, json }: Changing): Promise<void> {
  await withAccounts(async ({ accounts, origin, system }) => {
    const factors = createSecondFactors({ mysql: system.mysql, sealer: createSealer([]) })
    if (!(await factors.reset(userId, actorHere(actor))))
      throw new StepFailed(`Account ${userId} has no second factor in ${origin}.`)
    await accounts.endSessions(userId, actorHere(actor))
    if (json) print(JSON.stringify({ userId, action: 'second-factor.reset' }))
    say(`user ${userId} is logged out, and sets a second factor up at the next login under /admin`)
  })
}

/** The blacklist keeps them out on every instance, and says who did it and why. */
async function disable(
  userId: number,
  { reason, actor, json }: Changing & { reason: string },
): Promise<void> {
  await withAccounts(async ({ accounts, origin, system }) => {
    if (!(await accounts.find({ userId })))
      throw new StepFailed(`There is no account ${userId} in ${origin}.`)
    const blacklist = createChangeBlacklist({
      mysql: system.mysql,
      entries: createBlacklistEntries(system.redis),
    })
    const outcome = await blacklist.add([userSubject(userId)], { reason }, actorHere(actor))
    if (outcome === 'full') throw new StepFailed('The blacklist is full.')
    await accounts.endSessions(userId, actorHere(actor))
    if (json) print(JSON.stringify({ userId, action: 'user.disable', reason }))
    say(
      `user ${userId} is logged out everywhere and lets nobody in; undone by: blitz blacklist remove --user ${userId}`,
    )
  })
}

async function choosePassword({
  passwordStdin,
}: {
  passwordStdin?: true
}): Promise<{ password: string; isNew: boolean }> {
  if (!passwordStdin) return { password: newPassword(), isNew: true }
  return { password: (await text(process.stdin)).replace(/\r?\n$/, ''), isNew: false }
}

async function withAccounts(
  work: (deps: { accounts: ManageAccounts; origin: string; system: System }) => Promise<void>,
): Promise<void> {
  await withSystem(async (system) => {
    const accounts = createManageAccounts({ mysql: system.mysql, sessions: createSessions(system.redis) })
    await work({ accounts, origin: system.origin, system })
  })
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
