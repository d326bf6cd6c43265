import { setTimeout as pause } from 'node:timers/promises'

import {
  blockPublishers,
  deleteQueue,
  killStore,
  loseLastSecond,
  makeMysqlReadOnly,
  poisonLink,
  provokeDeadlocks,
  stopStore,
  useUpConnections,
} from '../faults.ts'
import type { FaultSystem } from '../system.ts'
import { untilTrue } from '../until-true.ts'
import { createShopperCalls } from '../workload.ts'
import { row, type Row } from './row.ts'

const redisRows: Row[] = [
  row({
    name: 'redis-killed',
    what: 'Redis',
    fault: 'kill -9 and restart, three times',
    when: 'peak',
    holds: 'I1, I2 always; I3 after reconcile; I8',
    async breakThings({ system, random, allow }) {
      // `everysec`: a second may be lost even so.
      allow({ redisLostData: true })
      for (let round = 1; round <= 3; round += 1) {
        await killStore(system.stores.redis, random.between(100, 3_000))
        await pause(2_000)
      }
    },
  }),
  row({
    name: 'redis-emptied',
    what: 'Redis',
    fault: 'emptied, twice',
    when: 'peak',
    holds: 'I1, I2 always; I3 after reconcile',
    async breakThings({ system, saleId, allow }) {
      allow({ redisLostData: true })
      for (let round = 1; round <= 2; round += 1) {
        await system.redis.flushall()
        await system.untilOpen(saleId)
        await pause(2_000)
      }
    },
  }),
  row({
    name: 'redis-last-second',
    what: 'Redis',
    fault: 'kill -9, and its last second is lost, twice',
    when: 'peak',
    holds: 'I1, I2 always; I3 after reconcile',
    async breakThings({ system, allow }) {
      allow({ redisLostData: true })
      for (let round = 1; round <= 2; round += 1) {
        await loseLastSecond(system)
        await pause(3_000)
      }
    },
  }),
  row({
    name: 'redis-stopped',
    what: 'Redis',
    fault: 'SIGSTOP for 1 s and for 10 s',
    when: 'peak',
    holds: 'I1–I3, I8',
    async breakThings({ system }) {
      await stopStore(system.stores.redis, 1_000)
      await pause(2_000)
      await stopStore(system.stores.redis, 10_000)
      await pause(2_000)
    },
  }),
  row({
    name: 'redis-scripts-flushed',
    what: 'Redis',
    fault: 'SCRIPT FLUSH, ten times',
    when: 'peak',
    holds: 'I1–I6; purchases go on',
    async breakThings({ system, saleId, demand }) {
      const fromMs = performance.now()
      for (let round = 1; round <= 10; round += 1) {
        await system.redis.script('FLUSH')
        await pause(300)
      }
      const faults = system.history.calls.filter(
        (call) => call.saleId === saleId && call.beganMs > fromMs && call.status >= 500,
      )
      demand(faults.length === 0, `${faults.length} calls failed because scripts were flushed`)
    },
  }),
  row({
    name: 'redis-answer-cut',
    what: 'Redis',
    fault: 'connection cut in the middle of an answer',
    when: 'peak',
    holds: 'I1–I6, I8',
    async breakThings({ system, random }) {
      for (let round = 1; round <= 6; round += 1) {
        const process = random.pick([...system.apis, ...system.workers])
        await poisonLink(process, 'redis', { cutAfterBytes: random.between(1, 3_000) }, 1_500)
        await pause(500)
      }
    },
  }),
]

const rabbitmqRows: Row[] = [
  row({
    name: 'rabbitmq-killed',
    what: 'RabbitMQ',
    fault: 'kill -9 and restart, twice',
    when: 'peak, drain',
    holds: 'purchases go on through the ledger, I4 after, no lost subscriber',
    async breakThings(context) {
      for (let round = 1; round <= 2; round += 1) {
        await killStore(context.system.stores.rabbitmq, 1_000)
        await untilConfirmed(context)
      }
    },
  }),
  row({
    name: 'rabbitmq-away',
    what: 'RabbitMQ',
    fault: 'away for a minute',
    when: 'peak, drain',
    holds: 'purchases go on through the ledger, I4 after',
    async breakThings(context) {
      const { system, saleId, demand } = context
      const fromMs = performance.now()
      await killStore(system.stores.rabbitmq, 60_000)
      const during = system.history.calls.filter(
        (call) =>
          call.saleId === saleId && call.kind === 'buy' && call.beganMs > fromMs && call.status === 202,
      )
      demand(
        during.some((call) => call.handoff === 'ledger'),
        'nobody could buy through the ledger while the broker was away',
      )
      await untilConfirmed(context)
    },
  }),
  row({
    name: 'rabbitmq-blocked',
    what: 'RabbitMQ',
    fault: 'publishers blocked by an alarm for 15 s',
    when: 'peak, drain',
    holds: 'purchases go on through the ledger, I4 after',
    async breakThings(context) {
      await blockPublishers(context.system, 15_000)
      await untilConfirmed(context)
    },
  }),
  row({
    name: 'rabbitmq-stopped',
    what: 'RabbitMQ',
    fault: 'SIGSTOP for 10 s',
    when: 'peak, drain',
    holds: 'purchases go on through the ledger, I4 after',
    async breakThings(context) {
      await stopStore(context.system.stores.rabbitmq, 10_000)
      await untilConfirmed(context)
    },
  }),
  row({
    name: 'rabbitmq-queue-deleted',
    what: 'RabbitMQ',
    fault: 'the queue deleted with what was in it',
    when: 'peak, drain',
    holds: 'purchases go on through the ledger, I4 after, no lost subscriber',
    async breakThings(context) {
      const { system } = context
      for (const worker of system.workers) worker.signal('SIGSTOP')
      await pause(2_000)
      await deleteQueue(system)
      for (const worker of system.workers) worker.signal('SIGCONT')
      await untilConfirmed(context)
    },
  }),
]

/** New purchases are confirmed again within seconds, and somebody takes them from the queue. */
async function untilConfirmed({
  system,
  saleId,
  demand,
}: {
  system: FaultSystem
  saleId: number
  demand: (isTrue: boolean, violation: string) => void
}): Promise<void> {
  const calls = createShopperCalls(system)
  const fromMs = performance.now()
  for (const api of system.apis) {
    await untilTrue(
      `a purchase at ${api.name} is confirmed again`,
      async () => {
        const own = system.history.calls.some(
          (call) =>
            call.saleId === saleId &&
            call.at === api.name &&
            call.beganMs > fromMs &&
            call.handoff === 'confirmed',
        )
        if (own) return true
        const [shopper] = await system.makeShoppers(1)
        if (!shopper) return false
        const token = calls.makeToken(saleId, shopper.userId)
        return (await calls.buy(shopper, api, saleId, token)).handoff === 'confirmed'
      },
      30_000,
      500,
    ).catch((error: Error) => demand(false, error.message))
  }
  await untilTrue(
    'every worker consumes',
    () =>
      system.withBroker(
        async (channel) =>
          (await channel.checkQueue(system.queueName)).consumerCount >= system.workers.length,
      ),
    30_000,
  ).catch((error: Error) => demand(false, error.message))
}

const mysqlRows: Row[] = [
  row({
    name: 'mysql-killed',
    what: 'MySQL',
    fault: 'kill -9 and restart, twice',
    when: 'drain, payment',
    holds: 'I1–I6, the worker goes on by itself',
    async breakThings({ system, random }) {
      for (let round = 1; round <= 2; round += 1) {
        await killStore(system.stores.mysql, random.between(200, 4_000))
        await pause(4_000)
      }
    },
  }),
  row({
    name: 'mysql-stopped',
    what: 'MySQL',
    fault: 'SIGSTOP for 30 s',
    when: 'drain, payment',
    holds: 'I1–I6, I8, the worker goes on by itself',
    async breakThings({ system }) {
      await stopStore(system.stores.mysql, 30_000)
    },
  }),
  row({
    name: 'mysql-connections',
    what: 'MySQL',
    fault: 'connections used up for 10 s',
    when: 'drain, payment',
    holds: 'I1–I6, I8, the worker goes on by itself',
    breakThings: ({ system }) => useUpConnections(system, 10_000),
  }),
  row({
    name: 'mysql-deadlocks',
    what: 'MySQL',
    fault: 'deadlocks for 15 s',
    when: 'drain, payment',
    holds: 'I1–I6',
    async breakThings({ system, saleId, demand }) {
      // Those that hit the other side are seen in MySQL's own count.
      const count = async (): Promise<number> => {
        const [row] = await system.asMysqlRoot(`SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'`)
        return Number(row?.Value ?? 0)
      }
      const before = await count()
      await provokeDeadlocks(system, saleId, 15_000)
      demand((await count()) > before, 'no deadlock could be provoked')
    },
  }),
  row({
    name: 'mysql-read-only',
    what: 'MySQL',
    fault: 'read-only for 10 s',
    when: 'drain, payment',
    holds: 'I1–I6, I8, the worker goes on by itself',
    breakThings: ({ system }) => makeMysqlReadOnly(system, 10_000),
  }),
]

export const storeRows: Row[] = [...redisRows, ...rabbitmqRows, ...mysqlRows]
