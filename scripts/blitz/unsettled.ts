import { SharedConfig } from '@blitzbuy/core/config'
import { createLog } from '@blitzbuy/core/log'
import { writeAuditEntry } from '@blitzbuy/core/mysql/audit-log'
import { createRejectReservations } from '@blitzbuy/core/order/reject-reservations'
import { connectBroker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createPublishReservations } from '@blitzbuy/core/rabbitmq/publish'
import { createLookAtQueue, isTaken } from '@blitzbuy/core/rabbitmq/queue-look'
import { redisAnswer } from '@blitzbuy/core/redis/connect-redis'
import { createRelayUnsettled } from '@blitzbuy/core/reservation/relay'
import { listKeptSales } from '@blitzbuy/core/stock/kept-sales'
import { createSettle } from '@blitzbuy/core/stock/settle'
import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import type { Command } from 'commander'
import { Type } from 'typebox'

import { StepFailed } from '../steps.mjs'
import { actorHere, say, withSystem, type System } from './connect-system.ts'
import { readSystemSettings } from './environment.ts'
import { saleId as saleIdOf, wholeNumber } from './option-values.ts'

const BrokerConfig = Type.Object({
  AMQP_URL: SharedConfig.properties.AMQP_URL,
  NAMESPACE: SharedConfig.properties.NAMESPACE,
})
const CONNECT_MS = 5_000
const LISTED = 100
const DUE_PAGE = 500

const HELP = `
A reservation is unsettled from the moment it is made in Redis until MySQL has decided it. The stock-warmer publishes
again, by itself, what is unsettled for ten seconds; relay does it now.

  pnpm -s blitz unsettled ls
  pnpm -s blitz unsettled relay --sale 7

Exit status: 0 done, or nothing to do; 1 not done, with the reason on stderr.
MYSQL_URL, REDIS_URL, AMQP_URL and NAMESPACE name the system; when none of them is set, it is the \`npm start\` that runs here.
`

export function registerUnsettled(blitz: Command): void {
  const unsettled = blitz
    .command('unsettled')
    .description('reservations that MySQL has not decided yet: lists, relays')
    .helpCommand(false)
    .addHelpText('after', HELP)
  unsettled
    .command('ls')
    .description('those whose next relay comes first')
    .option('--sale <id>', 'of one sale; else of all that are in Redis', saleIdOf)
    .option('--limit <n>', 'how many of each sale', wholeNumber(1, 10_000), LISTED)
    .option('--json', 'one JSON object a line on stdout')
    .action(list)
  unsettled
    .command('relay')
    .description('publishes them again now')
    .requiredOption('--sale <id>', 'the sale', saleIdOf)
    .option('--dry-run', 'says how many there are, and does nothing')
    .option('--actor <name>', 'who does it, for the audit log; else who is logged in here')
    .action(relay)
}

async function list({ sale, limit, json }: { sale?: number; limit: number; json?: true }): Promise<void> {
  await withSystem(async ({ redis, origin }) => {
    const saleIds = sale === undefined ? await listKeptSales(redis) : [sale]
    let total = 0
    for (const saleId of saleIds.toSorted((a, b) => a - b)) {
      const { unsettled, unsettledDue } = stockKeys(saleId)
      total += await redisAnswer(redis.hlen(unsettled))
      const orderIds = await redisAnswer(redis.zrange(unsettledDue, '0', String(limit - 1)))
      if (orderIds.length === 0) continue
      const entries = await redisAnswer(redis.hmget(unsettled, ...orderIds))
      for (const [at, entry] of entries.entries()) {
        if (entry === null) continue
        const [userId, quantity, reservedAtMs, epoch, relays] = entry.split(':')
        const reserved = new Date(Number(reservedAtMs)).toISOString()
        const row = {
          orderId: orderIds[at],
          saleId,
          userId: Number(userId),
          quantity: Number(quantity),
          reserved,
          epoch: Number(epoch),
          relays: Number.parseInt(relays ?? '0', 10),
        }
        process.stdout.write(
          json
            ? `${JSON.stringify(row)}\n`
            : `${row.orderId}  sale ${saleId}  user ${userId}  ${quantity} units  reserved ${reserved}  relayed ${row.relays} times\n`,
        )
      }
    }
    say(`${total} unsettled in ${origin}`)
  })
}

async function relay({
  sale: saleId,
  dryRun,
  actor,
}: {
  sale: number
  dryRun?: true
  actor?: string
}): Promise<void> {
  const { settings } = readSystemSettings(BrokerConfig, { allowsProduction: true })
  await withSystem(async (system) => {
    const { redis, mysql, origin } = system
    const count = await redisAnswer(redis.hlen(stockKeys(saleId).unsettled))
    if (count === 0 || dryRun)
      return say(
        `${count} unsettled in sale ${saleId} in ${origin}${dryRun ? '; dry run, nothing was done' : ''}`,
      )
    const log = createLog({ name: 'blitz', level: 'fatal' })
    const named = { url: settings.AMQP_URL, namespace: settings.NAMESPACE }
    const broker = connectBroker({ ...named, role: 'publisher', log })
    try {
      const late = new Promise<never>((_resolve, reject) =>
        setTimeout(() => reject(new StepFailed('RabbitMQ does not answer.')), CONNECT_MS).unref(),
      )
      await Promise.race([broker.connected, late])
      await mysql.use(({ connection }) =>
        writeAuditEntry(connection, {
          actor: actorHere(actor),
          action: 'unsettled.relay',
          subject: `sale:${saleId}`,
        }),
      )
      await makeDue(system, saleId)
      const lookAtQueue = createLookAtQueue(named)
      const { published, rejected } = await createRelayUnsettled({
        redis,
        publish: createPublishReservations(broker),
        isQueueTaken: async () => isTaken(await lookAtQueue()),
        reject: (of, reservations) => rejectAndSettle(system, of, reservations),
      })(saleId)
      say(`${published} published again, ${rejected} given up`)
    } finally {
      await broker.close()
    }
  })
}

/** Each has its turn now; one that is settled meanwhile is not put back. */
async function makeDue({ redis }: System, saleId: number): Promise<void> {
  const { unsettledDue } = stockKeys(saleId)
  for (let from = 0; ; from += DUE_PAGE) {
    const orderIds = await redisAnswer(redis.zrange(unsettledDue, String(from), String(from + DUE_PAGE - 1)))
    if (orderIds.length === 0) return
    await redisAnswer(redis.zadd(unsettledDue, 'XX', ...orderIds.flatMap((orderId) => [0, orderId])))
  }
}

async function rejectAndSettle(
  { mysql, redis }: System,
  saleId: number,
  reservations: Parameters<ReturnType<typeof createRejectReservations>>[1],
): Promise<void> {
  const decided = await createRejectReservations(mysql)(saleId, reservations, 'undecidable')
  await createSettle(redis)(saleId, decided.decidedAtMs, decided.decisions)
}
