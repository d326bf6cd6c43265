import { listOf } from '@blitzbuy/core/config'
import type { BlacklistEntries } from '@blitzbuy/core/gate/blacklist-entries'
import { createChangeBlacklist } from '@blitzbuy/core/gate/change-blacklist'
import type { Logger } from '@blitzbuy/core/log'
import type { Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import { createReadAuditLog } from '@blitzbuy/core/mysql/read-audit-log'
import { createOrderStories } from '@blitzbuy/core/order/order-story'
import { createReconcileSale } from '@blitzbuy/core/order/reconcile-sale'
import { createRepairSale } from '@blitzbuy/core/order/repair-sale'
import { createReadSaleFigures } from '@blitzbuy/core/order/sale-figures'
import { createDeadLetters } from '@blitzbuy/core/rabbitmq/dead-letters'
import { createLookAtQueue } from '@blitzbuy/core/rabbitmq/queue-look'
import type { Redis } from '@blitzbuy/core/redis/connect-redis'
import type { RedisClock } from '@blitzbuy/core/redis/redis-clock'
import { createChangeSale } from '@blitzbuy/core/sale/change-sale'
import { createCreateSale } from '@blitzbuy/core/sale/create-sale'
import { createProducts } from '@blitzbuy/core/sale/products'
import type { Sales } from '@blitzbuy/core/sale/sales'
import { createChangeRunningSale } from '@blitzbuy/core/stock/change-running-sale'
import { createReadStocks } from '@blitzbuy/core/stock/read-stock'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import { createOperatorMarks } from '@blitzbuy/core/user/operator-marks'
import { createFindOperator } from '@blitzbuy/core/user/operators'
import { createSealer } from '@blitzbuy/core/user/sealed-secret'
import { createSecondFactors } from '@blitzbuy/core/user/second-factors'

import type { AttemptLog } from './attempt-log.ts'
import { operatorLimits, type ApiConfig } from './config.ts'
import { createLiveSales } from './live-sales.ts'

export interface OperatorDeps {
  config: ApiConfig
  log: Logger
  mysql: Mysql
  redis: Redis
  clock: RedisClock
  attempts: AttemptLog
  sales: Sales
  blacklistEntries: BlacklistEntries
}

/** What operators can do: the same functions of core that `blitz` calls. */
export function wireOperators(deps: OperatorDeps) {
  const { config, log, mysql, redis, sales, blacklistEntries } = deps
  const broker = { url: config.AMQP_URL, namespace: config.NAMESPACE }
  const readStocks = createReadStocks(redis)
  const readFigures = createReadSaleFigures({ mysql, redis })
  const warmSale = createWarmSale({ mysql, redis, sales })
  const reconcile = createReconcileSale({ mysql, redis })
  const sealer = createSealer(listOf(config.SECOND_FACTOR_SECRETS))

  return {
    find: createFindOperator(mysql),
    marks: createOperatorMarks(redis, operatorLimits(config)),
    secondFactors: createSecondFactors({ mysql, sealer }),
    limits: operatorLimits(config),
    auditLog: createReadAuditLog(mysql),
    products: createProducts(mysql),
    sales,
    createSale: createCreateSale(mysql),
    changeSale: createChangeRunningSale({ changeSale: createChangeSale(mysql), sales, warmSale, log }),
    readStocks,
    readFigures,
    live: createLiveSales({
      attempts: deps.attempts,
      readStocks,
      readFigures,
      lookAtQueue: createLookAtQueue(broker),
      clock: deps.clock,
      log,
    }),
    reconcile,
    repair: createRepairSale({ mysql, reconcile }),
    orderStories: createOrderStories(mysql),
    blacklist: createChangeBlacklist({ mysql, entries: blacklistEntries }),
    blacklistEntries,
    deadLetters: createDeadLetters(broker),
    mysql,
  }
}
