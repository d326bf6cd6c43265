import { readFileSync } from 'node:fs'

import { describe, expect, it } from 'vitest'

import { SharedConfig, Secrets, loadConfig } from './config.ts'
import { defaultCredentials } from './default-credentials.ts'
import { Type } from 'typebox'

const Config = Type.Object({
  ...SharedConfig.properties,
  SESSION_SECRETS: Secrets,
  ORDER_ID_SECRETS: Secrets,
})
const GOOD = {
  NODE_ENV: 'production',
  MYSQL_URL: 'mysql://shop:9fQ2-vB7xLm0@db:3306/blitzbuy',
  REDIS_URL: 'redis://:p3Kz_81nTTcw@cache:6379/0',
  AMQP_URL: 'amqp://shop:Wm5-0xYy8dPq@broker:5672/%2F',
  HEALTH_PORT: '3100',
  SESSION_SECRETS: 'kJ8Zr0aM2vXq7LtN4bYd9wPf3sHg6cUe',
  ORDER_ID_SECRETS: 'Qe5Tn1yB8uKi3oLp6zXv0mCw9aSd2fGh',
}

describe('a production configuration', () => {
  it('with credentials of its own is taken', () => {
    expect(loadConfig(Config, GOOD)).toMatchObject({ NODE_ENV: 'production' })
    // A Redis without a password may be meant: it is reached by a private network alone.
    expect(loadConfig(Config, { ...GOOD, REDIS_URL: 'redis://cache:6379' })).toBeDefined()
  })

  it.each([
    ['MYSQL_URL', 'mysql://root@db:3306/blitzbuy'],
    ['MYSQL_URL', 'mysql://root:root@db:3306/blitzbuy'],
    ['MYSQL_URL', 'mysql://blitzbuy:change%2Dme@db:3306/blitzbuy'],
    ['REDIS_URL', 'redis://:change-me@cache:6379/0'],
    ['AMQP_URL', 'amqp://guest:guest@broker:5672'],
    ['AMQP_URL', 'amqp://broker:5672'],
    ['SESSION_SECRETS', 's'.repeat(32)],
    ['SESSION_SECRETS', `${GOOD.SESSION_SECRETS},replace-with-32-or-more-random-characters`],
    ['ORDER_ID_SECRETS', 'replace-with-32-or-more-random-characters'],
  ])('is refused with a well-known credential: %s=%s', (name, value) => {
    const bad = { ...GOOD, [name]: value }
    expect(() => loadConfig(Config, bad)).toThrow(`${name} is a well-known default`)
    expect(() => loadConfig(Config, bad)).not.toThrow(value)
    expect(loadConfig(Config, { ...bad, NODE_ENV: 'development' })).toBeDefined()
  })

  it('is refused with every credential of .env.example', () => {
    const example = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8')
    const settings = Object.fromEntries([...example.matchAll(/^([A-Z_]+)=(.*)$/gm)].map((m) => [m[1], m[2]]))
    expect(defaultCredentials(settings)).toEqual([
      'MYSQL_URL',
      'REDIS_URL',
      'AMQP_URL',
      'SESSION_SECRETS',
      'ORDER_ID_SECRETS',
      'PURCHASE_TOKEN_SECRETS',
      'PAYMENT_CALLBACK_SECRETS',
      'SECOND_FACTOR_SECRETS',
    ])
  })
})
