import { connectMysql } from '@blitzbuy/core/mysql/connect-mysql'
import { connectRedis, redisReady } from '@blitzbuy/core/redis/connect-redis'

import { checkHost } from './check-host.ts'
import { checkMysql } from './check-mysql.ts'
import { checkRabbitmq } from './check-rabbitmq.ts'
import { checkRedis } from './check-redis.ts'
import type { Finding } from './finding.ts'

export interface Patient {
  mysqlUrl: string
  redisUrl: string
  amqpUrl: string
  namespace: string
  env: NodeJS.ProcessEnv
}

const READY_MS = 3_000

/** Looks at everything that a production set-up must have, in the live stores; changes nothing. */
export async function examine(patient: Patient, now: () => number = Date.now): Promise<Finding[]> {
  const { mysqlUrl, redisUrl, amqpUrl, namespace, env } = patient
  const mysql = connectMysql(mysqlUrl, { connectionLimit: 1 })
  const redis = connectRedis({ url: redisUrl, namespace, commandTimeoutMs: READY_MS })
  try {
    const findings = await Promise.all([
      reached('mysql', () => checkMysql(mysql, now)),
      reached('redis', async () => {
        await redisReady(redis, READY_MS)
        return checkRedis(redis, now)
      }),
      reached('rabbitmq', () => checkRabbitmq(amqpUrl, namespace)),
    ])
    return [...findings.flat(), ...checkHost(env)]
  } finally {
    redis.disconnect()
    await mysql.close()
  }
}

/** A store that is away is a finding, and the others are looked at all the same. */
async function reached(store: string, look: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return [{ check: `${store} answers`, verdict: 'ok', found: 'yes' }, ...(await look())]
  } catch (error) {
    return [
      {
        check: `${store} answers`,
        verdict: 'fail',
        found: reasonOf(error),
        advice: `See that ${store} runs, and that its URL names host, user and password as they are.`,
      },
    ]
  }
}

/** The innermost cause has the words of the driver. */
function reasonOf(error: unknown): string {
  let current = error
  while (current instanceof Error && current.cause instanceof Error) current = current.cause
  if (!(current instanceof Error)) return String(current)
  return current.message || (current as { code?: string }).code || current.name
}
