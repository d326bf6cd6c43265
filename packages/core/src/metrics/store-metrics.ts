import type { RowDataPacket } from 'mysql2/promise'

import { withDeadline } from '../deadline.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import type { Broker } from '../rabbitmq/connect-broker.ts'
import type { Redis } from '../redis/connect-redis.ts'
import { addGauge, addGauges, addHistogram, type Registry, type Sample } from './registry.ts'

const LOOK_MS = 500
const CLOCK_EVERY_MS = 5_000

/** What a process knows of the stores behind it: its own pool, its own connections, its own clock against theirs. */
export function addStoreMetrics(
  registry: Registry,
  { mysql, redis, broker }: { mysql: Mysql; redis: Redis; broker: Broker },
): void {
  const { pool } = mysql
  addGauge(registry, 'db_pool_used', 'MySQL connections in use.', () => pool.usedCount())
  addGauge(registry, 'db_pool_idle', 'MySQL connections that are open and free.', () => pool.idleCount())
  addGauge(registry, 'db_pool_waiting', 'Callers that wait for a MySQL connection.', () =>
    pool.waitingCount(),
  )
  addHistogram(registry, 'db_pool_hold_seconds', 'How long a borrower kept a MySQL connection.', () => [
    { labels: {}, buckets: pool.holdSeconds },
  ])
  addGauge(registry, 'blitzbuy_redis_connected', '1 while the connection to Redis takes commands.', () =>
    Number(redis.status === 'ready'),
  )
  addGauge(registry, 'blitzbuy_amqp_connected', '1 while the connection to RabbitMQ stands.', () =>
    Number(broker.current() !== undefined),
  )
  addGauge(
    registry,
    'blitzbuy_amqp_blocked',
    '1 while RabbitMQ takes no messages (memory or disk alarm).',
    () => Number(broker.isBlocked()),
  )

  let known: { untilMs: number; samples: Promise<Sample[]> } | undefined
  addGauges(
    registry,
    'blitzbuy_clock_offset_seconds',
    'Clock of the store minus clock of this host; accurate to half a round trip.',
    () => {
      if (!known || known.untilMs < performance.now())
        known = { untilMs: performance.now() + CLOCK_EVERY_MS, samples: readOffsets({ mysql, redis }) }
      return known.samples
    },
  )
}

async function readOffsets({ mysql, redis }: { mysql: Mysql; redis: Redis }): Promise<Sample[]> {
  const stores = {
    redis: async () => {
      const [seconds, micros] = await withDeadline(redis.time(), LOOK_MS, () => new Error('no time'))
      return Number(seconds) * 1000 + Number(micros) / 1000
    },
    mysql: () =>
      mysql.use(async ({ connection }) => {
        const [[row]] = await connection.query<(RowDataPacket & { now: Date })[]>(
          'SELECT UTC_TIMESTAMP(3) AS now',
        )
        return row?.now.getTime() ?? Number.NaN
      }, LOOK_MS),
  }
  const samples = await Promise.all(
    Object.entries(stores).map(async ([store, readMs]): Promise<Sample[]> => {
      try {
        const offsetMs = await clockOffsetMs(readMs)
        return Number.isFinite(offsetMs) ? [{ labels: { store }, value: offsetMs / 1000 }] : []
      } catch {
        return []
      }
    }),
  )
  return samples.flat()
}

/** The answer was made about half-way between question and arrival. */
export async function clockOffsetMs(
  readMs: () => Promise<number>,
  now: () => number = Date.now,
): Promise<number> {
  const askedAtMs = now()
  const storeMs = await readMs()
  return storeMs - (askedAtMs + now()) / 2
}
