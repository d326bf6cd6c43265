import { migrateDatabase } from '@blitzbuy/core/mysql/migrate'

import { seedDemo } from '../seed/seed-demo.ts'

/*
 * Run by start-blitzbuy.ts in a process of its own, after the build: the tables first, then the demo data. It
 * reads nothing and answers over the channel it was started with.
 */
const mysqlUrl = process.env.MYSQL_URL as string
const redisUrl = process.env.REDIS_URL as string

await migrateDatabase(mysqlUrl)
process.send?.({ kind: 'migrated' })
// Demo logins have no place among real ones.
if (process.env.NODE_ENV !== 'production') {
  const secondFactorSecrets = (process.env.SECOND_FACTOR_SECRETS as string).split(',')
  const seeded = await seedDemo({ mysqlUrl, redisUrl, secondFactorSecrets })
  process.send?.({ kind: 'seeded', ...seeded })
}
process.disconnect?.()
