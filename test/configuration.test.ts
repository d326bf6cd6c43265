import { randomBytes } from 'node:crypto'
import { once } from 'node:events'

import { describe, expect, it } from 'vitest'

import { spawnProcess, type PackageName } from './running-blitzbuy.ts'

const GOOD = {
  PATH: process.env.PATH ?? '',
  NODE_ENV: 'test',
  MYSQL_URL: 'mysql://u:p@127.0.0.1:1/db',
  REDIS_URL: 'redis://127.0.0.1:1',
  AMQP_URL: 'amqp://127.0.0.1:1',
  HEALTH_PORT: '0',
  PORT: '0',
  PUBLIC_ORIGIN: 'http://localhost:3000',
  SESSION_SECRETS: 's'.repeat(32),
  ORDER_ID_SECRETS: 'o'.repeat(32),
  PURCHASE_TOKEN_SECRETS: 'p'.repeat(32),
  PAYMENT_CALLBACK_SECRETS: 'p'.repeat(32),
  SECOND_FACTOR_SECRETS: 'f'.repeat(32),
}
const MALFORMED = {
  NODE_ENV: 'staging',
  LOG_LEVEL: 'loud',
  MYSQL_URL: 'http://db',
  REDIS_URL: 'localhost',
  AMQP_URL: 'localhost:5672',
  NAMESPACE: 'Not A Name',
  HEALTH_PORT: '70000',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318',
  OTEL_TRACES_SAMPLER_ARG: '2',
  CRASH_AT: 'after-lunch',
  STOP_AT: 'after-reserve:0',
}
const OF_API = {
  PORT: 'three thousand',
  PUBLIC_ORIGIN: 'localhost:3000/shop',
  SESSION_SECRETS: 'short',
  ORDER_ID_SECRETS: `${'o'.repeat(32)},short`,
  PURCHASE_TOKEN_SECRETS: 'p'.repeat(31),
  PAYMENT_CALLBACK_SECRETS: 'p'.repeat(31),
  SECOND_FACTOR_SECRETS: 'f'.repeat(31),
}
/** These have a default, or may be missing. */
const LIMITS_OF_API = {
  TRUSTED_PROXIES: '127.0.0.1,true',
  LIMIT_AUTH_ADDRESS: '300',
  LIMIT_PURCHASE_USER: '0/10',
  RULE_LIMIT_BREACH: '10/600',
  SHED_LOGINS_DELAY_MS: 'soon',
}

const LIMITS = { HEADERS_TIMEOUT_MS: '0', REQUEST_TIMEOUT_MS: 'never', IDLE_TIMEOUT_MS: '-1' }

async function startWith(name: PackageName, env: Record<string, string>) {
  const child = spawnProcess(name, env)
  let output = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const [code] = (await once(child, 'close')) as [number]
  return { code, output }
}

describe.each<[PackageName, Record<string, string>]>([
  ['api', { ...MALFORMED, ...OF_API, ...LIMITS, ...LIMITS_OF_API }],
  ['order-worker', { ...MALFORMED, PREFETCH: '0', RULE_ORDER_UNPAID: 'never' }],
  ['stock-warmer', { ...MALFORMED, WARM_AHEAD_SECONDS: '-1' }],
])('%s with a bad configuration', (name, malformed) => {
  it('does not start, and lists every malformed variable in one message with what it should be', async () => {
    const { code, output } = await startWith(name, { ...GOOD, ...malformed })
    expect(code).toBe(1)
    for (const variable of Object.keys(malformed)) {
      expect(output).toMatch(new RegExp(`- ${variable} is malformed; expected \\w+`))
    }
    // One message for a person, no stack.
    expect(output).not.toMatch(/^\s+at /m)
  })

  it('does not start, and lists every missing variable in one message', async () => {
    const { code, output } = await startWith(name, { PATH: GOOD.PATH })
    expect(code).toBe(1)
    const required = [
      'MYSQL_URL',
      'REDIS_URL',
      'AMQP_URL',
      'HEALTH_PORT',
      ...(name === 'api' ? Object.keys(OF_API) : []),
    ]
    for (const variable of required)
      expect(output).toMatch(new RegExp(`- ${variable} is missing; expected \\w+`))
  })
})

describe('a production configuration', () => {
  it('with credentials that everybody knows does not start, and names each of them without its value', async () => {
    const { code, output } = await startWith('api', {
      ...GOOD,
      NODE_ENV: 'production',
      MYSQL_URL: 'mysql://root@127.0.0.1:1/db',
      AMQP_URL: 'amqp://guest:guest@127.0.0.1:1',
      SESSION_SECRETS: 'replace-with-32-or-more-random-characters',
    })
    expect(code).toBe(1)
    for (const name of ['MYSQL_URL', 'AMQP_URL', 'SESSION_SECRETS', 'ORDER_ID_SECRETS']) {
      expect(output).toContain(`- ${name} is a well-known default`)
    }
    expect(output).not.toMatch(/guest|root|replace-with|oooo/)
  })

  it('with a crash point armed does not start', async () => {
    const { code, output } = await startWith('stock-warmer', {
      ...GOOD,
      ...OF_PRODUCTION,
      CRASH_AT: 'before-open',
      STOP_AT: 'mid-adopt:2',
    })
    expect(code).toBe(1)
    for (const name of ['CRASH_AT', 'STOP_AT']) {
      expect(output).toContain(`- ${name} is for fault tests and refused with NODE_ENV=production`)
    }
  })
})

describe('the trusted proxies', () => {
  it.each(['true', '1', '*', 'loopback', '0.0.0.0/0', '::/0', '10.0.0.1,', '10.0.0.1/40'])(
    'cannot be %j',
    async (list) => {
      const { code, output } = await startWith('api', { ...GOOD, TRUSTED_PROXIES: list })
      expect(code).toBe(1)
      expect(output).toMatch(/- TRUSTED_PROXIES is malformed; expected addresses or CIDR ranges/)
    },
  )
})

/** No credential that everybody knows. */
const OF_PRODUCTION = {
  NODE_ENV: 'production',
  MYSQL_URL: `mysql://shop:${randomBytes(12).toString('hex')}@127.0.0.1:1/db`,
  REDIS_URL: `redis://:${randomBytes(12).toString('hex')}@127.0.0.1:1`,
  AMQP_URL: `amqp://shop:${randomBytes(12).toString('hex')}@127.0.0.1:1`,
  SESSION_SECRETS: randomBytes(32).toString('base64url'),
  ORDER_ID_SECRETS: randomBytes(32).toString('base64url'),
  PURCHASE_TOKEN_SECRETS: randomBytes(32).toString('base64url'),
  PAYMENT_CALLBACK_SECRETS: randomBytes(32).toString('base64url'),
  SECOND_FACTOR_SECRETS: randomBytes(32).toString('base64url'),
}

const OF_PRODUCTION_GOOD = { ...GOOD, ...OF_PRODUCTION }

describe('an api in production', () => {
  it.each(['http://shop.example', 'http://192.168.1.4:3000', 'http://localhost.evil.example'])(
    'does not start for a site without TLS: %s',
    async (PUBLIC_ORIGIN) => {
      const { code, output } = await startWith('api', { ...OF_PRODUCTION_GOOD, PUBLIC_ORIGIN })
      expect(code).toBe(1)
      expect(output).toMatch(/- PUBLIC_ORIGIN is malformed; expected an https:\/\/ origin/)
    },
  )
})

describe('problems of every kind', () => {
  it('are told together: what is missing, malformed, well known, and wrong only in production', async () => {
    const { HEALTH_PORT: _missing, ...rest } = OF_PRODUCTION_GOOD
    const { code, output } = await startWith('api', {
      ...rest,
      PORT: 'three thousand',
      AMQP_URL: 'amqp://guest:guest@127.0.0.1:1',
      PUBLIC_ORIGIN: 'http://shop.example',
    })
    expect(code).toBe(1)
    for (const problem of [
      '- HEALTH_PORT is missing',
      '- PORT is malformed',
      '- AMQP_URL is a well-known default',
      '- PUBLIC_ORIGIN is malformed; expected an https:// origin',
    ])
      expect(output).toContain(problem)
    expect(output).toContain('has 4 problem(s)')
  })
})

describe('a secret', () => {
  it('is never in the message about it', async () => {
    const { output } = await startWith('api', {
      ...GOOD,
      SESSION_SECRETS: 'hunter2',
      MYSQL_URL: 'mysql:/root:hunter2@db',
    })
    expect(output).toContain('SESSION_SECRETS')
    expect(output).not.toContain('hunter2')
  })
})

describe('an api that would refuse purchases before pages', () => {
  it('does not start, and says which threshold is too small', async () => {
    const { code, output } = await startWith('api', { ...GOOD, SHED_PURCHASES_DELAY_MS: '100' })
    expect(code).toBe(1)
    expect(output).toContain('SHED_PURCHASES_DELAY_MS is too small; expected SHED_LOGINS_DELAY_MS or more')
  })
})
