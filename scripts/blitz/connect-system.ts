import { hostname, userInfo } from 'node:os'

import { SharedConfig } from '@blitzbuy/core/config'
import type { Actor } from '@blitzbuy/core/mysql/audit-log'
import { connectMysql, type Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import { connectRedis, redisReady, type Redis } from '@blitzbuy/core/redis/connect-redis'
import { Type } from 'typebox'

import { readSystemSettings } from './environment.ts'

export interface System {
  mysql: Mysql
  redis: Redis
  /** Where it is, for the person who is about to change it. */
  origin: string
}

const SystemConfig = Type.Object({
  MYSQL_URL: SharedConfig.properties.MYSQL_URL,
  REDIS_URL: SharedConfig.properties.REDIS_URL,
  NAMESPACE: SharedConfig.properties.NAMESPACE,
})

const READY_WITHIN_MS = 5_000
const REDIS_TIMEOUT_MS = 20_000

/** Connects to MySQL and Redis of the system that the environment names, for the time of `work`. */
export async function withSystem<T>(work: (system: System) => Promise<T>): Promise<T> {
  const { settings, origin } = readSystemSettings(SystemConfig, { allowsProduction: true })
  const mysql = connectMysql(settings.MYSQL_URL, { connectionLimit: 2 })
  const redis = connectRedis({
    url: settings.REDIS_URL,
    namespace: settings.NAMESPACE,
    commandTimeoutMs: REDIS_TIMEOUT_MS,
  })
  try {
    // An operator may change a sale while Redis is away; whoever needs it now is told so by the command itself.
    await redisReady(redis, READY_WITHIN_MS).catch(() => undefined)
    return await work({ mysql, redis, origin })
  } finally {
    redis.disconnect()
    await mysql.close()
  }
}

/** Who sits at this terminal, for the audit log. */
export function actorHere(name?: string): Actor {
  return { name: name ?? `${userInfo().username}@${hostname()}` }
}

export function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
