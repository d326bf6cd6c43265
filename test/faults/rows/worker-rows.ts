import { randomInt } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'

import { OUTCOME_TTL_SECONDS } from '@blitzbuy/core/stock/settle'

import { crashAt, poisonLink, restartProcess } from '../faults.ts'
import type { FaultProcess } from '../processes.ts'
import type { FaultSystem } from '../system.ts'
import type { TrialContext } from '../trial.ts'
import { untilTrue } from '../until-true.ts'
import { noteUnknown } from './api-rows.ts'
import { row, type Row } from './row.ts'

const KILLS = 25
/** Longer than `settle` believes what MySQL said. */
const TOO_OLD_MS = 65_000
/** Longer than Redis remembers that an order has ended. */
const FORGOTTEN_MS = OUTCOME_TTL_SECONDS * 1_000 + 60_000
const ID_ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

export const workerRows: Row[] = [
  row({
    name: 'worker-crash-points',
    what: 'order-worker',
    fault: 'kill -9 before commit; after commit, before settle; after settle, before ack',
    when: 'drain',
    holds: 'I1–I6',
    async breakThings({ system, random, demand }) {
      for (const point of ['before-commit', 'after-commit', 'after-settle'] as const) {
        const worker = random.pick(system.workers)
        const hasDied = await crashAt(worker, point, { pass: random.between(1, 3), withinMs: 20_000 })
        demand(hasDied, `${worker.name} never came by ${point}`)
      }
    },
  }),
  row({
    name: 'worker-stopped',
    what: 'order-worker',
    fault: 'stopped between commit and settle until its word is too old; its orders expire meanwhile',
    when: 'drain',
    holds: 'I1–I6',
    breakThings: (context) => stopAfterCommit(context, TOO_OLD_MS),
  }),
  row({
    name: 'worker-stopped-long',
    what: 'order-worker',
    fault: 'stopped for 21 minutes between commit and settle: Redis has forgotten how its orders ended',
    when: 'drain',
    holds: 'I1–I6',
    isLong: true,
    // Few: what matters is the time.
    atOnce: 3,
    breakThings: (context) => stopAfterCommit(context, FORGOTTEN_MS),
  }),
  row({
    name: 'worker-kills',
    what: 'order-worker',
    fault: `kill -9 ${KILLS} times in a row with prefetch full`,
    when: 'drain',
    holds: 'I1–I6, no healthy order dead-lettered',
    sale: { quota: 300, paymentWindowSeconds: 30 },
    async breakThings({ system, demand }) {
      const [worker, other] = system.workers as [FaultProcess, FaultProcess]
      const deadBefore = await countDeadLetters(system)
      await Promise.all([worker.kill(), other.kill()])
      await untilTrue('a backlog gathers', async () => (await countReady(system)) >= 64, 60_000)
      for (let kill = 1; kill <= KILLS; kill += 1) {
        await worker.start({ CRASH_AT: 'before-commit' })
        demand(await worker.died(20_000), `${worker.name} did not come to a commit, start ${kill}`)
      }
      await Promise.all([worker.start(), other.start()])
      const dead = (await countDeadLetters(system)) - deadBefore
      demand(dead === 0, `${dead} healthy messages were dead-lettered`)
    },
  }),
  row({
    name: 'workers-absent',
    what: 'order-worker',
    fault: 'none runs for a minute',
    when: 'peak',
    holds: 'buyers read `queued`, I4 after',
    async breakThings({ system, saleId, demand }) {
      await Promise.all(system.workers.map((worker) => worker.kill()))
      const fromMs = performance.now()
      await pause(60_000)
      const reads = system.history.calls.filter(
        (call) => call.kind === 'read' && call.saleId === saleId && call.beganMs > fromMs + 5_000,
      )
      demand(reads.length > 0, 'nobody read an order meanwhile')
      const odd = reads.filter((call) => call.state === 'rejected')
      demand(odd.length === 0, `${odd.length} buyers read rejected because no worker runs`)
      demand(
        reads.some((call) => call.state === 'queued'),
        'nobody read queued',
      )
    },
  }),
  row({
    name: 'workers-rolling',
    what: 'order-worker',
    fault: 'rolling restart while busy, three times',
    when: 'peak, drain',
    holds: 'I4, I9',
    async breakThings({ system }) {
      for (let round = 1; round <= 3; round += 1) {
        for (const worker of system.workers) await restartProcess(worker)
      }
    },
  }),
  row({
    name: 'rolling-restart',
    what: 'all',
    fault: 'rolling restart of all processes during an open sale',
    when: 'peak',
    holds: 'I4, I9: no reservation lost',
    async breakThings({ system }) {
      for (const one of system.processes) await restartProcess(one)
    },
  }),
  row({
    name: 'network-worker-mysql',
    what: 'network',
    fault: 'one worker cut off from MySQL, one way then the other',
    when: 'peak',
    holds: 'I1–I6; only that host is not ready',
    async breakThings({ system, demand }) {
      const [cut, other] = system.workers as [FaultProcess, FaultProcess]
      for (const direction of ['up', 'down'] as const) {
        const ending = poisonLink(cut, 'mysql', { blackhole: [direction] }, 12_000)
        await pause(6_000)
        demand(!(await cut.isReady()), `${cut.name} says that it is ready, cut off from MySQL (${direction})`)
        demand(await other.isReady(), `${other.name} is not ready, although nothing ails it`)
        await ending
      }
      await untilTrue(`${cut.name} is ready again`, () => cut.isReady(), 20_000)
    },
  }),
  row({
    name: 'network-broker-cut',
    what: 'network',
    fault:
      'api and worker cut off from RabbitMQ in the middle of connecting again, 24 times, each time later in it',
    when: 'peak, drain',
    holds: 'I1–I6; no process ends, no subscriber is lost',
    async breakThings({ system }) {
      const cut = [system.apis[0], system.workers[0]] as [FaultProcess, FaultProcess]
      for (let cutAfterBytes = 100; cutAfterBytes < 1_780; cutAfterBytes += 70) {
        for (const { links } of cut) {
          links.rabbitmq.poison({ cutAfterBytes })
          links.rabbitmq.reset()
        }
        await pause(900)
        for (const { links } of cut) await links.rabbitmq.heal()
        for (const one of cut) await one.untilReady()
      }
    },
  }),
  row({
    name: 'poison',
    what: 'order-worker',
    fault:
      'unreadable body, wrong schema, unknown sale, one bad reservation among good ones, a duplicate, re-ordered messages',
    when: 'drain',
    holds: 'I10',
    async breakThings({ system, saleId, demand }) {
      const deadBefore = await countDeadLetters(system)
      const shoppers = await system.makeShoppers(9)
      for (const { userId } of shoppers) noteUnknown(system, system.apis[0] as FaultProcess, saleId, userId)
      const [first, bad, second, third, stray, ...late] = shoppers.map(({ userId }, at) =>
        reservation(userId, Date.now() + at),
      ) as [Reservation, Reservation, Reservation, Reservation, ...Reservation[]]
      // A moment that no DATETIME can hold.
      bad.reservedAtMs = 2 ** 48 - 1
      const mixed = message(saleId, [first, bad, second])
      const alone = message(saleId, [third])
      await publish(system, [
        Buffer.from('{"v":1,'),
        Buffer.from(JSON.stringify({ v: 2, saleId, reservations: [] })),
        message(4_000_000_000, [stray as Reservation]),
        mixed,
        alone,
        mixed,
        alone,
        ...late.toReversed().map((one) => message(saleId, [one])),
      ])
      const neighbours = [first, second, third, ...late].map((one) => one.orderId)
      system.history.poisoned({ saleId, badOrderId: bad.orderId, neighbourIds: neighbours })
      await untilTrue(
        'the dead letters have arrived',
        async () => (await countDeadLetters(system)) - deadBefore >= 4,
        30_000,
      ).catch((error: Error) => demand(false, error.message))
      for (const worker of system.workers) demand(worker.isRunning(), `${worker.name} died of poison`)
    },
  }),
]

async function stopAfterCommit({ system, demand }: TrialContext, forMs: number): Promise<void> {
  const worker = system.workers[0] as FaultProcess
  await worker.kill()
  await worker.start({ STOP_AT: 'after-commit' })
  await untilTrue(`${worker.name} stops after its commit`, () => worker.isStopped(), 30_000)
  await pause(forMs)
  worker.signal('SIGCONT')
  await untilTrue(
    `${worker.name} notices that its decisions are too old`,
    () => worker.output().includes('decisions too old to be told'),
    20_000,
  ).catch((error: Error) => demand(false, error.message))
}

interface Reservation {
  orderId: string
  userId: number
  quantity: number
  reservedAtMs: number
  requestId: string
}

/** As no api of ours made it; the worker cannot know. */
function reservation(userId: number, reservedAtMs: number): Reservation {
  const orderId = Array.from({ length: 26 }, () => ID_ALPHABET[randomInt(ID_ALPHABET.length)]).join('')
  return { orderId, userId, quantity: 1, reservedAtMs, requestId: 'faults' }
}

function message(saleId: number, reservations: Reservation[]): Buffer {
  return Buffer.from(JSON.stringify({ v: 1, saleId, epoch: 1, reservations }))
}

function publish(system: FaultSystem, bodies: readonly Buffer[]): Promise<void> {
  return system.withBroker(async (channel) => {
    for (const body of bodies)
      channel.publish(system.exchangeName, 'reservations.made', body, { persistent: true })
    await (channel as unknown as { waitForConfirms(): Promise<void> }).waitForConfirms()
  })
}

async function countReady(system: FaultSystem): Promise<number> {
  return system.withBroker(async (channel) => (await channel.checkQueue(system.queueName)).messageCount)
}

async function countDeadLetters(system: FaultSystem): Promise<number> {
  const name = system.queueName.replace(/place$/, 'dead')
  return system.withBroker(async (channel) => (await channel.checkQueue(name)).messageCount)
}
