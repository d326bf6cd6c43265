import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

import { createLog } from '@blitzbuy/core/log'
import { connectBroker, type Broker } from '@blitzbuy/core/rabbitmq/connect-broker'
import { createPublishDeadLetter } from '@blitzbuy/core/rabbitmq/publish'
import type { RowDataPacket } from 'mysql2/promise'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { PUBLIC_ORIGIN, newShopper, useOwnApi } from '../packages/api/test/own-api.ts'
import { addSale, addWarmSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { createShopperMaker } from '../scripts/blitz/make-shoppers.ts'
import { root } from '../scripts/prepare.mjs'
import { publishRunningEnvironment } from '../scripts/start/running-environment.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'

/** More than one batch, and the last one not full. */
const COUNT = 1_050

describe('blitz shoppers', () => {
  const api = useOwnApi()
  let home: TemporaryFolder
  beforeAll(async () => {
    home = await makeTemporaryFolder()
  })
  afterAll(() => home.remove())

  /** What names the test's own system; the temporary home keeps it away from a start that happens to run. */
  const system = () => ({
    MYSQL_URL: api.stores.mysqlUrl,
    REDIS_URL: api.stores.redisUrl,
    NAMESPACE: api.stores.namespace,
    SESSION_SECRETS: api.config.SESSION_SECRETS,
    PURCHASE_TOKEN_SECRETS: api.config.PURCHASE_TOKEN_SECRETS,
    PUBLIC_ORIGIN,
  })
  const blitz = (args: string[], env: Record<string, string>) =>
    runBlitz(args, { ...env, BLITZBUY_HOME: home.path })

  it('prints shoppers, and nothing else, whose cookies are good for every route and for one purchase each', async () => {
    const saleId = await addWarmSale(api.stores, { quota: 1_100, tokensPerUnit: 1 })

    const { code, stdout, stderr } = await blitz(
      ['shoppers', '--sale', `${saleId}`, '--count', `${COUNT}`],
      system(),
    )

    expect(stderr).toContain('the cap on its purchase tokens is off now (it was 1 per unit)')
    expect(stderr).toContain(`${COUNT} shoppers made`)
    expect(code).toBe(0)
    const shoppers = shoppersOf(stdout)
    expect(shoppers).toHaveLength(COUNT)
    for (const key of ['userId', 'cookie', 'phone'] as const) {
      expect(new Set(shoppers.map((shopper) => shopper[key])).size).toBe(COUNT)
    }
    const answers = await Promise.all(
      shoppers.map(async ({ userId, cookie, purchaseToken, saleId: theirs }) => {
        const me = await api.app.inject({ url: '/api/v1/me', headers: { cookie } })
        const bought = await api.app.inject({
          method: 'POST',
          url: `/api/v1/sales/${theirs}/orders`,
          headers: { cookie, 'x-purchase-token': purchaseToken },
        })
        return { isThem: me.json<{ userId?: number }>().userId === userId, status: bought.statusCode }
      }),
    )
    expect(answers.filter(({ isThem, status }) => !isThem || status !== 202)).toEqual([])
  })

  it('tells on stderr the password that all of them can log in with', async () => {
    const saleId = await addSale(api.stores)
    const { stdout, stderr } = await blitz(['shoppers', '--sale', `${saleId}`, '--count', '1'], system())
    const password = /password of all of them: (\S+)/.exec(stderr)?.[1]

    const login = await api.app.inject({
      method: 'POST',
      url: '/api/v1/auth/login',
      payload: { phone: shoppersOf(stdout)[0]?.phone, password },
    })
    expect(login.statusCode).toBe(200)
  })

  it('works on the running start when the environment names no system', async () => {
    const saleId = await addSale(api.stores)
    const folder = join(home.path, 'start')
    mkdirSync(folder)
    publishRunningEnvironment(folder, { ...system(), NODE_ENV: 'development' })

    const made = await blitz(['shoppers', '--sale', `${saleId}`, '--count', '2'], {})
    expect(made.stderr).toContain('the running `npm start`')
    expect(shoppersOf(made.stdout)).toHaveLength(2)

    publishRunningEnvironment(folder, { ...system(), NODE_ENV: 'production' })
    const refused = await blitz(['shoppers', '--sale', `${saleId}`, '--count', '2'], {})
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain('NODE_ENV=production')
  })

  it('is refused in production, for an unknown sale, and with a bad configuration, whose problems it all lists', async () => {
    const args = ['shoppers', '--sale', '4294967295', '--count', '1']
    const [production, unknownSale, badConfig] = await Promise.all([
      blitz(args, { ...system(), NODE_ENV: 'production' }),
      blitz(args, system()),
      blitz(args, { MYSQL_URL: 'postgres://x', NAMESPACE: 'Not A Name', SESSION_SECRETS: 'short' }),
    ])

    expect(production).toMatchObject({ code: 1, stdout: '' })
    expect(production.stderr).toContain('NODE_ENV=production')
    expect(unknownSale).toMatchObject({ code: 1, stdout: '' })
    expect(unknownSale.stderr).toContain('no sale 4294967295')
    expect(badConfig).toMatchObject({ code: 1, stdout: '' })
    for (const name of [
      'MYSQL_URL',
      'REDIS_URL',
      'NAMESPACE',
      'SESSION_SECRETS',
      'PURCHASE_TOKEN_SECRETS',
      'PUBLIC_ORIGIN',
    ]) {
      expect(badConfig.stderr).toContain(`- ${name} is `)
    }
  })

  it('stops without a fault when its reader has gone', async () => {
    const saleId = await addSale(api.stores)
    const child = spawnBlitz(['shoppers', '--sale', `${saleId}`, '--count', '1000000'], system())
    child.stdout.once('data', () => child.stdout.destroy())
    const stderr = text(child.stderr)
    const [code] = (await once(child, 'exit')) as [number | null]

    expect(await stderr).toContain('the reader of stdout has gone')
    expect(code).toBe(0)
  })

  it('gives two makers that want the same phone numbers different ones', async () => {
    const maker = () => {
      let block = 40_000
      return createShopperMaker({
        ...api.stores,
        sessionSecrets: [api.config.SESSION_SECRETS],
        publicOrigin: PUBLIC_ORIGIN,
        nextPhoneBlock: () => block++,
      })
    }
    const makers = await Promise.all([maker(), maker()])
    const made = await Promise.all(makers.map((one) => one.makeAll(1_500)))

    const shoppers = made.flat()
    expect(new Set(shoppers.map(({ phone }) => phone)).size).toBe(3_000)
    expect(new Set(shoppers.map(({ userId }) => userId)).size).toBe(3_000)
  })
})

describe('blitz blacklist', () => {
  const api = useOwnApi()
  const blacklist = (...args: string[]) =>
    runBlitz(['blacklist', ...args], {
      NODE_ENV: 'production',
      MYSQL_URL: api.stores.mysqlUrl,
      REDIS_URL: api.stores.redisUrl,
      NAMESPACE: api.stores.namespace,
    })

  it('adds, lists and removes users, numbers with their accounts, addresses and ranges, in production too', async () => {
    const shopper = await newShopper(api)
    const added = await blacklist(
      'add',
      '--user=4000000',
      `--phone=${shopper.phone}`,
      '--address=198.51.100.77/24',
      '--address=2001:db8::1',
      '--reason=resells',
      '--for=2h',
    )
    expect(added).toMatchObject({ code: 0, stdout: '' })
    const { phone, password } = shopper
    const me = () => shopper.call({ url: '/api/v1/me' }).then((answer) => answer.statusCode)
    const logIn = () =>
      shopper
        .call({ method: 'POST', url: '/api/v1/auth/login', payload: { phone, password } })
        .then((answer) => answer.statusCode)
    // Their sessions end, and they get no other.
    await expect.poll(me, { timeout: 5_000 }).toBe(401)
    expect(await logIn()).toBe(403)

    const lines = (await blacklist('list')).stdout.trimEnd().split('\n')
    const listed = lines.map((line) => JSON.parse(line) as Record<'subject' | 'added' | 'expires', string>)
    expect(listed.map(({ subject }) => subject).toSorted()).toEqual(
      [
        'network:198.51.100.0/24',
        'network:2001:db8::1',
        `phone:${shopper.phone}`,
        'user:4000000',
        `user:${shopper.userId}`,
      ].toSorted(),
    )
    for (const entry of listed) {
      expect(entry).toMatchObject({ cause: 'operator', reason: 'resells' })
      expect(Date.parse(entry.expires) - Date.parse(entry.added)).toBe(2 * 3_600_000)
    }

    const removed = await blacklist('remove', '--phone', shopper.phone)
    expect(removed.stderr).toContain('2 of 2 taken off')
    await expect.poll(logIn, { timeout: 5_000, interval: 500 }).toBe(200)
  })

  it('says who is meant without doing it, and writes who did it', async () => {
    const userId = 4_100_000 + Math.floor(Math.random() * 100_000)
    const subject = `user:${userId}`
    const isListed = async () => (await blacklist('list')).stdout.includes(`"${subject}"`)

    const dry = await blacklist('add', `--user=${userId}`, '--reason=resells', '--dry-run', '--json')
    expect(JSON.parse(dry.stdout)).toEqual({ action: 'blacklist.add', dryRun: true, subjects: [subject] })
    expect(dry.stderr).toContain(`dry run, nothing was done: blacklist.add of ${subject}`)
    expect(await isListed()).toBe(false)

    await blacklist('add', `--user=${userId}`, '--reason=resells', '--for=90s', '--actor=ada')
    expect(await isListed()).toBe(true)
    await blacklist('remove', `--user=${userId}`, '--reason=a mistake', '--actor=bob')
    expect(await isListed()).toBe(false)

    const audited = await api.stores.mysql.use(async ({ connection }) => {
      const [rows] = await connection.query<RowDataPacket[]>(
        'SELECT action, details FROM audit_log WHERE subject = ? ORDER BY id',
        [subject],
      )
      return rows
    })
    expect(audited).toEqual([
      { action: 'blacklist.add', details: { actor: 'ada', reason: 'resells', seconds: 90 } },
      { action: 'blacklist.remove', details: { actor: 'bob', reason: 'a mistake' } },
    ])
  })

  it('tells every name that is none, in one message', async () => {
    const { code, stderr } = await blacklist(
      'add',
      '--user=me',
      '--phone=123',
      '--address=0.0.0.0/0',
      '--reason=x',
    )
    expect(code).toBe(1)
    for (const name of ['--user me', '--phone 123', '--address 0.0.0.0/0']) expect(stderr).toContain(name)
  })

  it('refuses what would shut out everybody, and what names nobody', async () => {
    const reason = ['--reason', 'x']
    for (const args of [
      ['add', '--address', '0.0.0.0/0', ...reason],
      ['add', '--address', '::/0', ...reason],
      ['add', '--address', '2001:db8::/65', ...reason],
      ['add', '--address', 'localhost', ...reason],
      ['add', '--user', '-1', ...reason],
      ['add', '--phone', '123', ...reason],
      ['add', '--user', '7', '--for', 'ever', ...reason],
      ['add', '--user', '7'],
      ['remove'],
    ]) {
      expect([args, (await blacklist(...args)).code]).toEqual([args, 1])
    }
  })
})

describe('blitz dead-letters', () => {
  const stores = useOwnStores()
  const log = createLog({ name: 'test', level: 'fatal' })
  const deadLetters = (...args: string[]) =>
    runBlitz(['dead-letters', ...args], {
      NODE_ENV: 'production',
      MYSQL_URL: stores.mysqlUrl,
      AMQP_URL: stores.amqpUrl,
      NAMESPACE: stores.namespace,
    })
  let broker: Broker
  beforeAll(async () => {
    broker = connectBroker({ url: stores.amqpUrl, namespace: stores.namespace, role: 'publisher', log })
    await broker.connected
  }, 30_000)
  afterAll(async () => {
    await (await broker.connected).nuke()
    await broker.close()
  }, 30_000)

  it('lists, shows, replays and drops them, says what it would do, and writes who did it', async () => {
    const publish = createPublishDeadLetter(broker)
    for (const orderId of ['A', 'B', 'C'])
      await publish(Buffer.from(`body of ${orderId}`), {
        cause: 'unstorable',
        detail: 'ER_TRUNCATED_WRONG_VALUE',
        originalMessageId: `message-${orderId}`,
        diedAtMs: Date.parse('2026-12-01T10:00:00Z'),
        saleId: 7,
        orderId,
        requestId: 'r-1',
      })
    const listed = (await deadLetters('ls', '--json')).stdout.trimEnd().split('\n')
    const printed = listed.map((line) => JSON.parse(line) as { letterId: string; orderId: string })
    expect(printed.map(({ orderId }) => orderId)).toEqual(['A', 'B', 'C'])
    expect(printed[0]).toMatchObject({ cause: 'unstorable', saleId: 7, died: '2026-12-01T10:00:00.000Z' })
    const [first = { letterId: '' }, second = { letterId: '' }] = printed

    expect(JSON.parse((await deadLetters('show', second.letterId)).stdout)).toMatchObject({
      body: 'body of B',
      originalMessageId: 'message-B',
    })
    const dry = await deadLetters('drop', '--all', '--dry-run')
    expect(dry).toMatchObject({ code: 0 })
    expect(dry.stderr).toContain('dry run, nothing was done: dead-letter.drop of 3')
    const unasked = await deadLetters('drop', '--all')
    expect(unasked).toMatchObject({ code: 1, stdout: '' })
    expect(unasked.stderr).toContain('say --yes')
    expect(await deadLetters('drop', first.letterId, '--yes', '--actor', 'ada')).toMatchObject({ code: 0 })
    expect(await deadLetters('replay', second.letterId)).toMatchObject({ code: 0 })
    const missing = await deadLetters('replay', first.letterId)
    expect(missing).toMatchObject({ code: 1 })
    expect(missing.stderr).toContain(`There is no dead letter ${first.letterId}.`)
    expect((await deadLetters('ls')).stdout).toMatch(
      /^\S+ {2}2026-12-01T10:00:00.000Z {2}unstorable .*order C/,
    )

    const audited = await stores.mysql.use(async ({ connection }) => {
      const [rows] = await connection.query<RowDataPacket[]>(
        'SELECT action, subject, details FROM audit_log ORDER BY id',
      )
      return rows
    })
    expect(audited).toMatchObject([
      {
        action: 'dead-letter.drop',
        subject: `dead-letter:${first.letterId}`,
        details: { actor: 'ada', orderId: 'A' },
      },
      { action: 'dead-letter.replay', subject: `dead-letter:${second.letterId}`, details: { orderId: 'B' } },
    ])
  }, 60_000)
})

interface PrintedShopper {
  userId: number
  cookie: string
  phone: string
  purchaseToken: string
  saleId: number
}

/** Throws when a line is not JSON. */
function shoppersOf(stdout: string): PrintedShopper[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as PrintedShopper)
}

function spawnBlitz(args: string[], env: Record<string, string>) {
  const main = join(root, 'scripts', 'blitz', 'main.ts')
  return spawn(process.execPath, ['--import', 'tsx', '--conditions=blitzbuy-source', main, ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

async function runBlitz(args: string[], env: Record<string, string>) {
  const child = spawnBlitz(args, env)
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ])
  return { code, stdout, stderr }
}
