import { setTimeout as pause } from 'node:timers/promises'

import { createLog } from '@blitzbuy/core/log'
import type { CrashPoint } from '@blitzbuy/core/crash-point'
import { createChangeSale, type SaleChange } from '@blitzbuy/core/sale/change-sale'
import { createChangeRunningSale } from '@blitzbuy/core/stock/change-running-sale'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise'

import type { Store } from '../../scripts/stores/store.ts'
import type { FaultProcess } from './processes.ts'
import type { Toxics } from './proxy.ts'
import type { FaultSystem } from './system.ts'

/** Each fault does its harm, holds it for a while and takes it away again; it is over when everything stands. */

export async function killProcess(process: FaultProcess, awayMs: number): Promise<void> {
  await process.kill()
  await pause(awayMs)
  await process.start()
  await process.untilReady()
}

export async function restartProcess(
  process: FaultProcess,
  signal: 'SIGTERM' | 'SIGINT' = 'SIGTERM',
): Promise<void> {
  await process.end(signal)
  await process.start()
  await process.untilReady()
}

export async function stopProcess(process: FaultProcess, forMs: number): Promise<void> {
  process.signal('SIGSTOP')
  await pause(forMs)
  process.signal('SIGCONT')
}

/** @returns whether it came by there, and died. */
export async function crashAt(
  process: FaultProcess,
  point: CrashPoint,
  { pass = 1, withinMs = 10_000 }: { pass?: number; withinMs?: number } = {},
): Promise<boolean> {
  await process.kill()
  await process.start({ CRASH_AT: `${point}:${pass}` })
  const hasDied = await process.died(withinMs)
  if (!hasDied) await process.kill()
  await process.start()
  await process.untilReady()
  return hasDied
}

export async function killStore(store: Store, awayMs: number): Promise<void> {
  await store.kill('SIGKILL')
  await pause(awayMs)
  await store.start()
}

export async function stopStore(store: Store, forMs: number): Promise<void> {
  await store.kill('SIGSTOP')
  await pause(forMs)
  await store.kill('SIGCONT')
}

/** What `appendfsync everysec` may lose: kill -9, and the last second is not there. */
export async function loseLastSecond({ stores, redisLog, truncateRedisLog }: FaultSystem): Promise<void> {
  const { size } = redisLog()
  await pause(1_000)
  await stores.redis.kill('SIGKILL')
  truncateRedisLog(size)
  await stores.redis.start()
}

export async function poisonLink(
  process: FaultProcess,
  store: keyof FaultProcess['links'],
  toxics: Toxics,
  forMs: number,
): Promise<void> {
  const link = process.links[store]
  link.poison(toxics)
  await pause(forMs)
  await link.heal()
}

export async function cutOff(
  process: FaultProcess,
  store: keyof FaultProcess['links'],
  forMs: number,
): Promise<void> {
  const link = process.links[store]
  await link.down()
  await pause(forMs)
  await link.heal()
}

/** The messages that wait there are gone; what declares it again is for the processes to know. */
export async function deleteQueue({ withBroker, queueName }: FaultSystem): Promise<void> {
  await withBroker((channel) => channel.deleteQueue(queueName))
}

const MEMORY_MARK = ['set_vm_memory_high_watermark', 'absolute'] as const

/** The broker takes nothing from publishers as long as it says that it has no memory. */
export async function blockPublishers({ rabbitmqctl }: FaultSystem, forMs: number): Promise<void> {
  await rabbitmqctl(...MEMORY_MARK, '1')
  try {
    await pause(forMs)
  } finally {
    await rabbitmqctl(...MEMORY_MARK, '536870912')
  }
}

export async function makeMysqlReadOnly({ asMysqlRoot }: FaultSystem, forMs: number): Promise<void> {
  await asMysqlRoot('SET GLOBAL read_only = ON')
  try {
    await pause(forMs)
  } finally {
    await asMysqlRoot('SET GLOBAL read_only = OFF')
  }
}

const CONNECTIONS_MIN = 10

export async function useUpConnections(system: FaultSystem, forMs: number): Promise<void> {
  const { connectMysqlRoot, stores } = system
  // Opened before: later nobody gets in, root neither.
  const root = await connectMysqlRoot()
  const hogs: Connection[] = []
  try {
    await root.query(`SET GLOBAL max_connections = ${CONNECTIONS_MIN}`)
    const [standing] = await root.query<(RowDataPacket & { id: number })[]>(
      `SELECT id AS id FROM information_schema.processlist WHERE user = 'blitzbuy'`,
    )
    for (const { id } of standing) await root.query(`KILL ${id}`).catch(() => undefined)
    const untilMs = performance.now() + forMs
    while (performance.now() < untilMs) {
      await createConnection({ uri: stores.mysqlUrl, connectTimeout: 1_000 }).then(
        (connection) => {
          connection.on('error', () => undefined)
          hogs.push(connection)
        },
        () => undefined,
      )
      await pause(20)
    }
  } finally {
    await root.query('SET GLOBAL max_connections = 300')
    for (const hog of [...hogs, root]) hog.destroy()
  }
}

/** Somebody who takes the locks in the other order: orders first, then the sale. */
export async function provokeDeadlocks(
  { stores }: FaultSystem,
  saleId: number,
  forMs: number,
): Promise<number> {
  const connection = await createConnection({ uri: stores.mysqlUrl })
  connection.on('error', () => undefined)
  const untilMs = performance.now() + forMs
  let deadlocks = 0
  try {
    await connection.query('SET innodb_lock_wait_timeout = 2')
    while (performance.now() < untilMs) {
      try {
        await connection.query('START TRANSACTION')
        await connection.query(
          `SELECT id FROM orders WHERE sale_id = ? AND state = 'awaiting_payment' FOR UPDATE`,
          [saleId],
        )
        await pause(50)
        await connection.query('SELECT id FROM sales WHERE id = ? FOR UPDATE', [saleId])
      } catch {
        deadlocks += 1
      }
      await connection.query('ROLLBACK')
      await pause(100)
    }
  } finally {
    connection.destroy()
  }
  return deadlocks
}

/** What an operator does from the terminal. `isToldByUs` false: the terminal died between MySQL and Redis. */
export async function changeSale(
  { mysql, redis, sales }: FaultSystem,
  saleId: number,
  change: SaleChange | ((now: { quota: number; unitsSold: number }) => SaleChange),
  isToldByUs = true,
) {
  const change_ = createChangeSale(mysql)
  const request = { action: 'fault test', actor: { name: 'faults' }, change }
  if (!isToldByUs) return change_(saleId, request)
  const changeRunningSale = createChangeRunningSale({
    changeSale: change_,
    sales,
    warmSale: createWarmSale({ mysql, redis, sales }),
    log: createLog({ name: 'faults', level: 'fatal' }),
  })
  return (await changeRunningSale(saleId, request)).outcome
}
