import { stockKeys } from '@blitzbuy/core/stock/stock-keys'
import type { RowDataPacket } from 'mysql2/promise'
import { beforeAll, describe, expect, it } from 'vitest'

import { addWarmSale, useOwnStores } from '../packages/core/test/own-stores.ts'
import { runBlitz } from './run-blitz.ts'
import { useProcesses, type RunningProcess } from './running-blitzbuy.ts'
import { buy, makeShoppers, passGates, readOrder, type Shopper } from './shoppers.ts'

const stores = useOwnStores()
const processes = useProcesses(stores)
let api: RunningProcess
let worker: RunningProcess

beforeAll(async () => {
  ;[api, worker] = await Promise.all([
    processes.startReady('api'),
    processes.startReady('order-worker'),
    processes.startReady('stock-warmer'),
  ])
}, 120_000)

const env = () => ({
  NODE_ENV: 'production',
  MYSQL_URL: stores.mysqlUrl,
  REDIS_URL: stores.redisUrl,
  AMQP_URL: stores.amqpUrl,
  NAMESPACE: stores.namespace,
})
const blitz = (...args: string[]) => runBlitz([...args, ...actorOf(args)], env())

/** Whoever runs the tests must not be in what they expect. */
function actorOf([command = '', act = '']: string[]): string[] {
  const isAct = command === 'sale' && /^(create|change|pause|resume|restock|close|warm|reconcile)$/.test(act)
  return isAct ? ['--actor', 'ada'] : []
}

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await blitz(...args, '--json')
  if (code !== 0) throw new Error(`blitz ${args.join(' ')} ended with ${code}: ${stderr}`)
  return JSON.parse(stdout.trimEnd().split('\n')[0] ?? '') as T
}

describe('with blitz alone', () => {
  it('a sale is made, warmed, watched, paused, resumed, restocked, closed and reported', async () => {
    const settings = ['--quota', '2', '--price-cents', '4900', '--currency', 'USD']
    const window = ['--opens', '2020-01-01T00:00:00Z', '--closes', '+2h']
    const dry = await blitz('sale', 'create', '--title', 'Kettle', ...settings, ...window, '--dry-run')
    expect(dry.stderr).toContain('dry run: nothing was made')
    const { saleId } = await json<{ saleId: number }>(
      'sale',
      'create',
      '--title',
      'Kettle',
      ...settings,
      ...window,
    )
    const sale = String(saleId)
    expect(await blitz('sale', 'warm', sale, '--verify')).toMatchObject({ code: 0 })
    const shoppers = await makeShoppers(stores, 3, () => api.origin)
    await passGates(stores, shoppers, saleId, () => api.origin)

    const [first, second, third] = shoppers as [
      (typeof shoppers)[0],
      (typeof shoppers)[0],
      (typeof shoppers)[0],
    ]
    const bought = await buy(first, api.origin, saleId)
    expect(bought.status).toBe(202)
    await expect
      .poll(async () => (await readOrder(first, api.origin, bought.orderId ?? '')).state, { timeout: 20_000 })
      .toBe('awaiting_payment')

    expect(await blitz('sale', 'pause', sale)).toMatchObject({ code: 0 })
    const codeNow = async () => (await buy(second, api.origin, saleId)).code
    await expect.poll(codeNow, { timeout: 5_000 }).toBe('sale-paused')
    expect(await blitz('sale', 'resume', sale)).toMatchObject({ code: 0 })
    expect((await buy(second, api.origin, saleId)).status).toBe(202)
    expect((await buy(third, api.origin, saleId)).code).toBe('sold-out')
    expect((await blitz('sale', 'restock', sale, '--units', '1')).stderr).toContain('quota: 2 → 3')
    const isSold = async () => (await buy(third, api.origin, saleId)).status
    await expect.poll(isSold, { timeout: 5_000 }).toBe(202)

    const looks = await blitz('sale', 'watch', sale, '--api', api.healthUrl, '--count', '2', '--json')
    const [, last] = looks.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object)
    expect(last).toMatchObject({
      figures: { quota: 3, stock: { state: 'open', unitsLeft: 0 }, oversoldUnits: 0 },
      queue: { workers: 1, deadLetters: 0 },
      rates: { acceptedPerSecond: expect.any(Number) },
    })
    const drawn = await blitz('sale', 'watch', sale, '--api', api.healthUrl, '--count', '1')
    expect(drawn.stdout).toMatch(/█+ {2}0 left of 3/)

    const unasked = await blitz('sale', 'close', sale)
    expect(unasked).toMatchObject({ code: 1 })
    expect(unasked.stderr).toContain('say --yes')
    expect(await blitz('sale', 'close', sale, '--yes')).toMatchObject({ code: 0 })
    await expect
      .poll(async () => (await json<{ differ?: number; kind: string }>('sale', 'reconcile', sale)).kind, {
        timeout: 30_000,
      })
      .toBe('reconciled')

    const report = await json<{
      buyers: number
      orders: object[]
      changes: { action: string; actor: string }[]
    }>('sale', 'report', sale)
    expect(report).toMatchObject({ buyers: 3, orders: [{ state: 'awaiting_payment', orders: 3, units: 3 }] })
    const actions = report.changes.map(({ action }) => action).filter((action) => action !== 'sale.warm')
    expect(actions).toEqual(['sale.create', 'sale.pause', 'sale.resume', 'sale.restock', 'sale.close'])
    expect(new Set(report.changes.map(({ actor }) => actor))).toEqual(new Set(['ada']))

    const exported = await blitz('order', 'export', '--sale', sale, '--csv')
    expect(exported.stdout.split('\n')[0]).toMatch(/^orderId,saleId,userId,state/)
    expect(exported.stdout.trimEnd().split('\n')).toHaveLength(4)
    const shown = await blitz('order', 'show', bought.orderId ?? '')
    expect(shown.stdout).toContain(`order ${bought.orderId}  awaiting_payment`)
    expect((await blitz('order', 'show', 'nothing')).code).toBe(1)
    expect((await blitz('unsettled', 'ls')).stderr).toContain('0 unsettled')
  }, 120_000)

  it('what no worker decides is published again, and what Redis has lost is put back', async () => {
    const saleId = await addWarmSale(stores, { quota: 2 })
    const [buyer] = (await makeShoppers(stores, 1, () => api.origin, 100)) as [Shopper]
    await passGates(stores, [buyer], saleId, () => api.origin)
    const sale = String(saleId)
    let orderId = ''
    process.kill(worker.pid, 'SIGSTOP')
    try {
      orderId = (await buy(buyer, api.origin, saleId)).orderId ?? ''
      expect((await blitz('unsettled', 'relay', '--sale', sale, '--dry-run')).stderr).toContain('1 unsettled')
      expect((await blitz('unsettled', 'relay', '--sale', sale)).stderr).toContain(
        '1 published again, 0 given up',
      )
    } finally {
      process.kill(worker.pid, 'SIGCONT')
    }
    const stateNow = async () => (await readOrder(buyer, api.origin, orderId)).state
    await expect.poll(stateNow, { timeout: 20_000 }).toBe('awaiting_payment')
    const account = await stores.mysql.use(async ({ connection }) => {
      const [[row]] = await connection.query<(RowDataPacket & { phone: string })[]>(
        'SELECT phone FROM users WHERE id = ?',
        [buyer.userId],
      )
      return row
    })
    const found = await blitz('order', 'find', '--phone', account?.phone ?? '', '--json')
    expect(JSON.parse(found.stdout)).toMatchObject({ orderId, saleId, state: 'awaiting_payment' })

    const { holds } = stockKeys(saleId)
    await expect.poll(() => stores.redis.hlen(holds)).toBe(1)
    await stores.redis.hdel(holds, orderId)
    expect(await blitz('sale', 'reconcile', sale, '--repair')).toMatchObject({ code: 0 })
    expect(await stores.redis.hkeys(holds)).toEqual([orderId])
  }, 60_000)

  it('the first operator is made, found, given a new password and shut out, each in the audit log', async () => {
    const phone = '+86 138 0013 9001'
    const made = await json<{ userId: number; role: string; password: string }>(
      'user',
      'create',
      '--role',
      'operator',
      '--phone',
      phone,
    )
    expect(made).toMatchObject({ role: 'operator' })
    const logIn = async (password: string) => {
      const answer = await fetch(`${api.origin}/api/v1/auth/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ phone, password }),
      })
      return answer.status
    }
    expect(await logIn(made.password)).toBe(200)
    expect((await blitz('user', 'sessions', `${made.userId}`)).stdout).toContain('since ')
    expect((await blitz('user', 'create', '--phone', phone)).stderr).toContain('has an account already')

    const reset = await runBlitz(['user', 'reset-password', `${made.userId}`, '--password-stdin'], env(), {
      input: 'a battery horse staples\n',
    })
    expect(reset).toMatchObject({ code: 0, stdout: '' })
    expect((await blitz('user', 'sessions', `${made.userId}`)).stderr).toContain('is logged in nowhere')
    expect(await logIn('a battery horse staples')).toBe(200)
    expect((await blitz('user', 'reset-second-factor', `${made.userId}`)).stderr).toContain(
      'has no second factor',
    )
    await stores.mysql.use(({ connection }) =>
      connection.query("INSERT INTO second_factors (user_id, sealed_secret) VALUES (?, 'sealed')", [
        made.userId,
      ]),
    )
    expect(await blitz('user', 'reset-second-factor', `${made.userId}`)).toMatchObject({ code: 0 })
    expect((await blitz('user', 'reset-second-factor', `${made.userId}`)).code).toBe(1)
    expect((await blitz('order', 'find', '--phone', phone)).stderr).toContain(
      `0 orders of user ${made.userId}`,
    )
    expect((await blitz('user', 'disable', `${made.userId}`, '--reason', 'left')).code).toBe(0)
    await expect.poll(() => logIn('a battery horse staples'), { timeout: 5_000 }).toBe(403)

    const actions = await stores.mysql.use(async ({ connection }) => {
      const [rows] = await connection.query<(RowDataPacket & { action: string })[]>(
        'SELECT action FROM audit_log WHERE subject = ? ORDER BY id',
        [`user:${made.userId}`],
      )
      return rows.map(({ action }) => action)
    })
    expect(actions).toEqual([
      'user.create',
      'user.reset-password',
      'second-factor.reset',
      'user.logout-all',
      'blacklist.add',
      'user.logout-all',
    ])
  }, 60_000)

  it('settings are checked as a whole and printed without their secrets; tables are asked how far they are', async () => {
    const secrets = { SESSION_SECRETS: 's'.repeat(30) + 'ecretive' }
    const checked = await runBlitz(['config', 'check'], { ...env(), ...secrets })
    expect(checked.code).toBe(1)
    expect(checked.stderr).toMatch(/api: would not start\n(.*\n)* {2}- ORDER_ID_SECRETS is missing/)
    const printed = await runBlitz(['config', 'print', 'order-worker'], { ...env(), HEALTH_PORT: '3200' })
    expect(printed.code).toBe(0)
    expect(printed.stdout).toMatch(/^PREFETCH=64$/m)
    expect(printed.stdout).toMatch(/^MYSQL_URL=mysql:\/\/\w+:\*{8}@/m)
    expect(printed.stdout).not.toContain(new URL(stores.mysqlUrl).password)
    expect(await blitz('db', 'status')).toMatchObject({ code: 0 })
    expect((await blitz('db', 'migrate')).stderr).toContain('nothing to do')
    expect((await blitz('version')).stdout).toMatch(/^blitzbuy \d/)
    expect((await blitz('queue', 'stats')).stdout).toMatch(/0 ready, 1 consumers/)
  }, 60_000)
})
