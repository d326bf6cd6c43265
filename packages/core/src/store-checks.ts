import type { HealthCheck } from './health.ts'
import type { Mysql } from './mysql/connect-mysql.ts'
import type { Broker } from './rabbitmq/connect-broker.ts'
import type { Redis } from './redis/connect-redis.ts'

/** What /readyz asks: whether each store that this process cannot work without answers. */
export function storeChecks(stores: {
  mysql: Mysql
  redis: Redis
  broker?: Broker
}): Record<string, HealthCheck> {
  const { mysql, redis, broker } = stores
  return {
    mysql: () => mysql.use(({ connection }) => connection.query('SELECT 1')),
    redis: () => redis.ping(),
    ...(broker && {
      rabbitmq: async () => {
        if (!broker.current()) throw new Error('not connected')
      },
    }),
  }
}
