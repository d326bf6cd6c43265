import { writeAuditEntry } from '@blitzbuy/core/mysql/audit-log'
import { createReconcileSale } from '@blitzbuy/core/order/reconcile-sale'
import { redisAnswer } from '@blitzbuy/core/redis/connect-redis'
import { createSales } from '@blitzbuy/core/sale/sales'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { createWarmSale, readRunId, warmNeed } from '@blitzbuy/core/stock/warm-sale'

import { StepFailed } from '../steps.mjs'
import { actorHere, say, withSystem, type System } from './connect-system.ts'

interface Copying {
  json?: true
  dryRun?: true
  actor?: string
}

/** Puts the stock into Redis now, where a stock-warmer would later; on a healthy copy it does nothing. */
export async function warm(
  saleId: number,
  { json, dryRun, actor, verify }: Copying & { verify?: true },
): Promise<void> {
  await withSystem(async (system) => {
    const { mysql, redis } = system
    const sales = createSales(mysql)
    const sale = await sales.find(saleId)
    if (!sale) throw new StepFailed(`There is no sale ${saleId} in ${system.origin}.`)
    const [copy] = await createReadStocks(redis)([saleId])
    const [seconds] = await redisAnswer(redis.time())
    const need = warmNeed(sale, copy, Number(seconds) * 1000, await readRunId(redis))
    const isNeeded = need === 'build' || need === 'configure'
    const warmSale = createWarmSale({ mysql, redis, sales })
    if (isNeeded && !dryRun) {
      if (need === 'configure') await warmSale.configure(sale)
      else await warmSale.build(saleId)
      await audit(system, saleId, 'sale.warm', actor, { need })
    }
    const [after] = await createReadStocks(redis)([saleId])
    if (json) process.stdout.write(`${JSON.stringify({ saleId, need, stock: after ?? null })}\n`)
    else
      say(
        `sale ${saleId}: ${isNeeded ? `${need}${dryRun ? ' needed; dry run, nothing was done' : ' done'}` : 'its copy is healthy'}`,
      )
    if (verify) await compare(system, saleId, false, json)
  })
}

/** Compares Redis with MySQL, order by order; repairs only when asked to. */
export async function reconcile(
  saleId: number,
  { json, dryRun, repair: isAsked, actor }: Copying & { repair?: true },
): Promise<void> {
  const repair = isAsked === true && !dryRun
  await withSystem(async (system) => {
    if (repair) await audit(system, saleId, 'sale.reconcile', actor, { repair: true })
    await compare(system, saleId, repair, json)
  })
}

async function compare(system: System, saleId: number, repair: boolean, json?: true): Promise<void> {
  const outcome = await createReconcileSale(system)(saleId, { repair })
  if (outcome.kind === 'not_warmed')
    throw new StepFailed(`Sale ${saleId} is not in Redis, or is being built: blitz sale warm ${saleId}.`)
  const { holdCount, liveOrderCount, endedCount, unheldCount, unlistedCount, unitsDrift } = outcome
  const differences = endedCount + unheldCount + unlistedCount
  if (json) process.stdout.write(`${JSON.stringify({ saleId, ...outcome })}\n`)
  else {
    say(`${holdCount} holds in Redis, ${liveOrderCount} live orders in MySQL`)
    say(
      `${endedCount} holds of orders that ended, ${unheldCount} live orders not held, ${unlistedCount} holds of nobody`,
    )
    say(`units: ${unitsDrift === undefined ? 'moved meanwhile' : `${unitsDrift} differ`}`)
    if (differences > 0) say(repair ? 'repaired' : `not repaired: blitz sale reconcile ${saleId} --repair`)
  }
  if (!repair && (differences > 0 || (unitsDrift ?? 0) !== 0)) process.exitCode = 1
}

async function audit(
  { mysql }: System,
  saleId: number,
  action: string,
  actor: string | undefined,
  details: Record<string, unknown>,
): Promise<void> {
  await mysql.use(({ connection }) =>
    writeAuditEntry(connection, { actor: actorHere(actor), action, subject: `sale:${saleId}`, details }),
  )
}
