import { performance } from 'node:perf_hooks'

import { listOf, SharedConfig } from '@blitzbuy/core/config'
import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'
import { createSales } from '@blitzbuy/core/sale/sales'
import { InvalidArgumentError, type Command } from 'commander'
import { Type } from 'typebox'

import { ApiConfig } from '../../packages/api/src/config.ts'
import { StepFailed, took } from '../steps.mjs'
import { readSystemSettings } from './environment.ts'
import { createShopperMaker } from './make-shoppers.ts'
import { createTokenMaker } from './make-tokens.ts'

const ShoppersConfig = Type.Object({
  MYSQL_URL: SharedConfig.properties.MYSQL_URL,
  REDIS_URL: SharedConfig.properties.REDIS_URL,
  NAMESPACE: SharedConfig.properties.NAMESPACE,
  SESSION_SECRETS: ApiConfig.properties.SESSION_SECRETS,
  PURCHASE_TOKEN_SECRETS: ApiConfig.properties.PURCHASE_TOKEN_SECRETS,
  PUBLIC_ORIGIN: ApiConfig.properties.PUBLIC_ORIGIN,
})

const COUNT_MAX = 1_000_000
const READY_WITHIN_MS = 5_000
const REDIS_TIMEOUT_MS = 20_000
/** Long enough to make many shoppers and to start a load tool. */
const TOKEN_LIFETIME_MS = 600_000

const HELP = `
Prints one JSON object a line on stdout, and all else on stderr:

  {"userId":7,"cookie":"blitz=…","phone":"+86170…","purchaseToken":"AQAA…","saleId":3}

\`cookie\` is a whole Cookie header, so that any load tool can be many people. All the accounts have one password,
printed on stderr. \`purchaseToken\` is the header x-purchase-token of one purchase within ten minutes (of the opening,
where that is later): what a shopper gets for the human check. To have one for everybody, the sale's cap on tokens is
taken off.

MYSQL_URL, REDIS_URL, NAMESPACE, SESSION_SECRETS, PURCHASE_TOKEN_SECRETS and PUBLIC_ORIGIN name the system, with the api's own values; when
none of them is set, it is the \`npm start\` that runs here. Refused with NODE_ENV=production.

  pnpm -s blitz shoppers --sale 3 --count 10000 > shoppers.jsonl
`

export function registerShoppers(blitz: Command): void {
  blitz
    .command('shoppers')
    .description('makes accounts with live sessions and purchase tokens, ready to buy in one sale')
    .requiredOption('--sale <id>', 'the sale they are to buy in', wholeNumber(2 ** 32 - 1))
    .requiredOption('--count <n>', 'how many', wholeNumber(COUNT_MAX))
    .addHelpText('after', HELP)
    .action(printShoppers)
}

async function printShoppers({ sale: saleId, count }: { sale: number; count: number }): Promise<void> {
  const startedMs = performance.now()
  const { settings, origin } = readSystemSettings(ShoppersConfig)
  const mysql = connectMysql(settings.MYSQL_URL, { connectionLimit: 2 })
  const redis = connectRedis({
    url: settings.REDIS_URL,
    namespace: settings.NAMESPACE,
    commandTimeoutMs: REDIS_TIMEOUT_MS,
  })
  try {
    const sales = createSales(mysql)
    const sale = await sales.find(saleId)
    if (!sale) throw new StepFailed(`There is no sale ${saleId} in the database of ${origin}.`)
    await redisReady(redis, READY_WITHIN_MS)
    const maker = await createShopperMaker({
      mysql,
      redis,
      sessionSecrets: listOf(settings.SESSION_SECRETS),
      publicOrigin: settings.PUBLIC_ORIGIN,
    })
    const tokenMaker = await createTokenMaker(saleId, {
      redis,
      sales,
      purchaseTokenSecrets: listOf(settings.PURCHASE_TOKEN_SECRETS),
      lifetimeMs: TOKEN_LIFETIME_MS,
    })
    say(`${count} shoppers for sale ${saleId}, "${sale.title}", in ${origin}`)
    say(`password of all of them: ${maker.password}`)

    if (tokenMaker.tokensPerUnitBefore !== 0)
      say(`the cap on its purchase tokens is off now (it was ${tokenMaker.tokensPerUnitBefore} per unit)`)

    let made = 0
    for await (const batch of maker.makeShoppers(count)) {
      made += batch.length
      const tokens = await tokenMaker.makeTokens(batch.map((shopper) => shopper.userId))
      const lines = batch.map((shopper, at) =>
        JSON.stringify({ ...shopper, purchaseToken: tokens[at], saleId }),
      )
      if (!(await print(lines))) {
        say('the reader of stdout has gone; stopping')
        break
      }
      if (made % 10_000 === 0 && made < count) say(`${made} of ${count} …`)
    }
    say(`${made} shoppers made in ${took(startedMs)}`)
  } finally {
    redis.disconnect()
    await mysql.close()
  }
}

/** @returns whether there is still somebody who reads. */
function print(lines: string[]): Promise<boolean> {
  return new Promise((resolve) => {
    process.stdout.write(`${lines.join('\n')}\n`, (error) => resolve(!error))
  })
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

function wholeNumber(max: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= 1 && number <= max) return number
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${max}.`)
  }
}
