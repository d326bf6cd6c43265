import { createInterface } from 'node:readline/promises'

import { assertNever } from '@blitzbuy/core/errors'
import { createLog } from '@blitzbuy/core/log'
import { createChangeSale, type ChangeRequest, type SaleChange } from '@blitzbuy/core/sale/change-sale'
import { createCreateSale } from '@blitzbuy/core/sale/create-sale'
import { createSales } from '@blitzbuy/core/sale/sales'
import { createChangeRunningSale } from '@blitzbuy/core/stock/change-running-sale'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import { InvalidArgumentError, type Command } from 'commander'

import { StepFailed } from '../steps.mjs'
import { actorHere, say, withSystem, type System } from './connect-system.ts'
import { moment, saleId as saleIdOf, wholeNumber } from './option-values.ts'
import { reconcile, warm } from './sale-copy.ts'
import { report } from './sale-report.ts'
import { watch, type WatchOptions } from './sale-watch.ts'
import { describeChange, describeProblems, describeSale, toJson } from './sale-output.ts'

const LISTED_MAX = 1_000
const INT_MAX = 2 ** 31 - 1
/** Where `npm start` puts the health port of its api. */
const API_HEALTH = 'http://127.0.0.1:3100'

const HELP = `
A change is in force on every instance within two seconds, and is written to the audit log. Orders that stand are not
touched by any of them.

  pnpm -s blitz sale create --title "Kettle" --quota 100 --price-cents 4900 --currency USD --opens +30m --closes +2h
  pnpm -s blitz sale restock 7 --units 50
  pnpm -s blitz sale change 7 --quota 80 --closes 2026-12-01T10:00:00+08:00
  pnpm -s blitz sale pause 7
  pnpm -s blitz sale close 7 --yes
  pnpm -s blitz sale watch 7 --api http://10.0.0.11:3100 --api http://10.0.0.12:3100
  pnpm -s blitz sale report 7

Exit status: 0 done, or nothing to do; 1 not done, with the reason on stderr.
MYSQL_URL, REDIS_URL and NAMESPACE name the system; when none of them is set, it is the \`npm start\` that runs here.
`

interface Shown {
  json?: true
}
interface Changing extends Shown {
  dryRun?: true
  actor?: string
  revision?: number
}
type Settings = Partial<
  Record<
    | 'quota'
    | 'opens'
    | 'closes'
    | 'paymentWindow'
    | 'tokensPerUnit'
    | 'unitsPerUser'
    | 'priceCents'
    | 'listPriceCents',
    number
  >
>

export function registerSale(blitz: Command): void {
  const sale = blitz
    .command('sale')
    .description(
      'sales: creates, lists, shows, changes, pauses, resumes, restocks, closes, warms, watches, reconciles, reports',
    )
    .helpCommand(false)
    .addHelpText('after', HELP)

  shown(sale.command('list').description('every sale: what is open or upcoming first')).action(list)
  shown(one(sale, 'show').description('one sale, in MySQL and in Redis')).action(show)
  settings(changing(sale.command('create').description('puts a product on sale')))
    .option('--product <id>', 'a product that exists; without it one is made', wholeNumber(1, INT_MAX))
    .option('--title <text>', 'of the new product')
    .option('--description <text>', 'of the new product', '')
    .option('--image <path>', 'below the site, of the new product', '/assets/icon.svg')
    .requiredOption('--currency <code>', 'ISO 4217, e.g. USD or CNY')
    .action(create)
  settings(changing(one(sale, 'change').description('sets what is named; the rest stays as it is'))).action(
    (saleId: number, options: Changing & Settings) =>
      change(saleId, options, { action: 'sale.change', change: toChange(options) }),
  )
  changing(one(sale, 'restock').description('puts more units on sale'))
    .requiredOption('--units <n>', 'how many more', wholeNumber(1, INT_MAX))
    .action((saleId: number, options: Changing & { units: number }) =>
      change(saleId, options, {
        action: 'sale.restock',
        change: ({ quota }) => ({ quota: quota + options.units }),
      }),
    )
  changing(one(sale, 'pause').description('takes no purchases until it is resumed')).action(
    (saleId: number, options: Changing) =>
      change(saleId, options, { action: 'sale.pause', change: { state: 'paused' } }),
  )
  changing(one(sale, 'resume').description('takes purchases again')).action(
    (saleId: number, options: Changing) =>
      change(saleId, options, { action: 'sale.resume', change: { state: 'scheduled' } }),
  )
  changing(one(sale, 'close').description('ends it for good')).option('--yes', 'does not ask').action(close)
  acting(one(sale, 'warm').description('puts its stock into Redis now; the stock-warmer does it by itself'))
    .option('--verify', 'then compares it with MySQL, order by order')
    .action(warm)
  one(sale, 'watch')
    .description('a live picture: units, purchases per second, p99, queue, workers, dead letters, drift')
    .option('--api <url>', 'health port of an api, for the rates; may be repeated', collectUrl, [])
    .option('--count <n>', 'how many looks, one a second; else until Ctrl-C', wholeNumber(1, INT_MAX))
    .option('--json', 'one JSON object a second on stdout')
    .action((saleId: number, options: WatchOptions) =>
      watch(saleId, { ...options, api: options.api.length > 0 ? options.api : [API_HEALTH] }),
    )
  acting(
    one(sale, 'reconcile').description(
      'compares Redis with MySQL, order by order; exit status 1 if they differ',
    ),
  )
    .option('--repair', 'puts right what differs')
    .action(reconcile)
  shown(
    one(sale, 'report').description('the story of a sale: orders, times, money, what operators did'),
  ).action(report)
}

/** Acts on the copy in Redis; no setting changes. */
function acting(command: Command): Command {
  return shown(command)
    .option('--dry-run', 'says what would be done, and does nothing')
    .option('--actor <name>', 'who does it, for the audit log; else who is logged in here')
}

function collectUrl(text: string, before: string[]): string[] {
  if (URL.canParse(text)) return [...before, text]
  throw new InvalidArgumentError('It must be a URL, e.g. http://10.0.0.11:3100.')
}

function one(sale: Command, name: string): Command {
  return sale.command(name).argument('<id>', 'the sale', saleIdOf)
}

function shown(command: Command): Command {
  return command.option('--json', 'one JSON object a line on stdout')
}

function changing(command: Command): Command {
  return shown(command)
    .option('--dry-run', 'says what would be done, and does nothing')
    .option('--actor <name>', 'who does it, for the audit log; else who is logged in here')
    .option('--revision <n>', 'only if nobody has changed it since this revision', wholeNumber(1, INT_MAX))
}

function settings(command: Command): Command {
  return command
    .option('--quota <n>', 'units on sale', wholeNumber(1, INT_MAX))
    .option('--opens <moment>', 'when: 2026-12-01T10:00:00+08:00, or +30m from now', moment)
    .option('--closes <moment>', 'likewise', moment)
    .option('--payment-window <seconds>', 'how long a buyer has to pay', wholeNumber(1, INT_MAX))
    .option(
      '--tokens-per-unit <n>',
      'purchase tokens handed out per unit; 0: no cap',
      wholeNumber(0, INT_MAX),
    )
    .option('--units-per-user <n>', 'most units a buyer may take', wholeNumber(1, INT_MAX))
    .option('--price-cents <n>', 'price in minor units', wholeNumber(0, INT_MAX))
    .option('--list-price-cents <n>', 'the price it has elsewhere', wholeNumber(0, INT_MAX))
}

function toChange(options: Settings): SaleChange {
  const { opens, closes, paymentWindow, quota, tokensPerUnit, unitsPerUser, priceCents, listPriceCents } =
    options
  return {
    quota,
    opensAtMs: opens,
    closesAtMs: closes,
    paymentWindowSeconds: paymentWindow,
    tokensPerUnit,
    unitsPerUser,
    priceCents,
    listPriceCents,
  } as SaleChange
}

async function list({ json }: Shown): Promise<void> {
  await withSystem(async ({ mysql, redis }) => {
    const sales = await createSales(mysql).list(LISTED_MAX)
    const stocks = await createReadStocks(redis)(sales.map(({ saleId }) => saleId)).catch(() => [])
    for (const [at, sale] of sales.entries())
      print(json ? toJson(sale, stocks[at]) : describeSale(sale, stocks[at]).join('  '))
    if (sales.length === 0) say('there are no sales')
  })
}

async function show(saleId: number, { json }: Shown): Promise<void> {
  await withSystem(async ({ mysql, redis, origin }) => {
    const sale = await createSales(mysql).find(saleId)
    if (!sale) throw new StepFailed(`There is no sale ${saleId} in ${origin}.`)
    const [stock] = await createReadStocks(redis)([saleId])
    print(json ? toJson(sale, stock) : describeSale(sale, stock).join('\n'))
  })
}

async function create(
  options: Changing &
    Settings &
    Record<'title' | 'description' | 'image' | 'currency', string> & { product?: number },
): Promise<void> {
  const missing = (['quota', 'opens', 'closes', 'priceCents'] as const).filter(
    (name) => options[name] === undefined,
  )
  if (options.product === undefined && !options.title) missing.push('title' as never)
  if (missing.length > 0)
    throw new StepFailed(`A sale needs ${missing.map((name) => `--${dashed(name)}`).join(', ')}.`)
  const { quota = 0, opens = 0, closes = 0, priceCents = 0 } = options
  await withSystem(async ({ mysql, origin }) => {
    const outcome = await createCreateSale(mysql)(
      {
        product:
          options.product === undefined
            ? { title: options.title, description: options.description, imagePath: options.image }
            : { productId: options.product },
        priceCents,
        listPriceCents: options.listPriceCents ?? priceCents,
        currency: options.currency,
        quota,
        unitsPerUser: options.unitsPerUser ?? 1,
        tokensPerUnit: options.tokensPerUnit ?? 20,
        opensAtMs: opens,
        closesAtMs: closes,
        paymentWindowSeconds: options.paymentWindow ?? 900,
      },
      { actor: actorHere(options.actor), isDryRun: options.dryRun ?? false },
    )
    if (outcome.kind === 'refused') throw new StepFailed(describeProblems(outcome.problems))
    if (options.json) print(JSON.stringify(outcome))
    else
      say(
        outcome.saleId
          ? `sale ${outcome.saleId} made in ${origin}`
          : `dry run: nothing was made in ${origin}`,
      )
  })
}

async function close(saleId: number, options: Changing & { yes?: true }): Promise<void> {
  if (!options.yes && !options.dryRun) await confirm(saleId)
  await change(saleId, options, { action: 'sale.close', change: { state: 'closed' } })
}

/** It cannot be taken back: the wrong number from the shell's history must not end somebody's sale. */
async function confirm(saleId: number): Promise<void> {
  if (!process.stdin.isTTY)
    throw new StepFailed('Closing a sale is for good: say --yes when nobody can be asked.')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const typed = await terminal.question(`Closing is for good. Type the sale's id to close it: `)
  terminal.close()
  if (typed.trim() !== String(saleId)) throw new StepFailed('Not closed.')
}

async function change(
  saleId: number,
  { json, dryRun, actor, revision }: Changing,
  request: Pick<ChangeRequest, 'action' | 'change'>,
): Promise<void> {
  await withSystem(async (system) => {
    const { outcome, isTold } = await changeRunningSale(system)(saleId, {
      ...request,
      actor: actorHere(actor),
      ...(revision === undefined ? {} : { expectedRevision: revision }),
      isDryRun: dryRun ?? false,
    })
    switch (outcome.kind) {
      case 'not_found':
        throw new StepFailed(`There is no sale ${saleId} in ${system.origin}.`)
      case 'refused':
        throw new StepFailed(describeProblems(outcome.problems))
      case 'changed_meanwhile':
        throw new StepFailed(
          `Somebody else has changed sale ${saleId}: it is at revision ${outcome.settings.revision}. Look at it again (blitz sale show ${saleId}).`,
        )
      case 'unchanged':
      case 'changed':
        break
      default:
        assertNever(outcome)
    }
    if (json) return print(JSON.stringify({ saleId, isTold, ...outcome }))
    if (outcome.kind === 'unchanged') return say(`sale ${saleId} is like that already`)
    for (const line of describeChange(outcome)) say(line)
    if (dryRun) say(`dry run: nothing was changed in ${system.origin}`)
    else if (!isTold) say('Redis was not told; the stock-warmer brings it into force when Redis is back')
  })
}

function changeRunningSale({ mysql, redis }: System) {
  const sales = createSales(mysql)
  return createChangeRunningSale({
    changeSale: createChangeSale(mysql),
    sales,
    warmSale: createWarmSale({ mysql, redis, sales }),
    log: createLog({ name: 'blitz', level: 'fatal' }),
  })
}

function dashed(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
