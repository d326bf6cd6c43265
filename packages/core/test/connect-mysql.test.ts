import { expect, inject, it, onTestFinished } from 'vitest'

import { connectMysql } from '../src/mysql/connect-mysql.ts'
import { StoreAway } from '../src/errors.ts'

const LIMIT = 2
const HELD_SECONDS = 0.2
const DEADLINE_MS = 6_000

it('refuses at once who would wait for a connection for too long, and serves everybody else', async () => {
  const mysql = connectMysql(inject('mysqlUrl'), { connectionLimit: LIMIT })
  onTestFinished(() => mysql.close())
  const hold = () =>
    mysql.use(({ connection }) => connection.query('SELECT SLEEP(?)', [HELD_SECONDS]), DEADLINE_MS)
  await hold()

  // A part of the deadline has room for some of them, by far not for all.
  const all = Array.from({ length: 200 }, hold)
  const first = await Promise.race(
    all.map((one) =>
      one.then(
        () => 'served',
        (error: unknown) => error,
      ),
    ),
  )
  expect(first).toBeInstanceOf(StoreAway)
  expect(first).toMatchObject({ store: 'mysql', outcome: 'not-sent' })

  const outcomes = await Promise.allSettled(all)
  const served = outcomes.filter(({ status }) => status === 'fulfilled').length
  expect(served).toBeGreaterThan(LIMIT)
  expect(served).toBeLessThan(all.length / 2)
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected')
      expect(outcome.reason.cause.message).toBe('too many wait for a connection')
  }

  // Nobody waits any more: the next one is served.
  await hold()
}, 30_000)

it('lets who has done a part of something wait for the rest, however many do', async () => {
  const mysql = connectMysql(inject('mysqlUrl'), { connectionLimit: LIMIT })
  onTestFinished(() => mysql.close())
  const hold = (standing: 'reads' | 'begun') =>
    mysql.use(({ connection }) => connection.query('SELECT SLEEP(?)', [HELD_SECONDS]), DEADLINE_MS, standing)
  await hold('reads')

  const begun = Array.from({ length: 40 }, () => hold('begun'))
  await expect(hold('reads')).rejects.toBeInstanceOf(StoreAway)
  await Promise.all(begun)
}, 30_000)

it('serves who has done a part of something before all who only wait', async () => {
  const mysql = connectMysql(inject('mysqlUrl'), { connectionLimit: LIMIT })
  onTestFinished(() => mysql.close())
  const served: string[] = []
  const hold = async (standing: 'changes' | 'begun') => {
    await mysql.use(
      ({ connection }) => connection.query('SELECT SLEEP(?)', [HELD_SECONDS]),
      DEADLINE_MS,
      standing,
    )
    served.push(standing)
  }
  const waiting = Array.from({ length: 8 }, () => hold('changes'))
  await Promise.all([...waiting, hold('begun')])
  // Two have connections already; of those who wait it is the first.
  expect(served.indexOf('begun')).toBeLessThan(2 * LIMIT)
}, 30_000)

it('tells how long the line is, but not of a MySQL that serves nobody', async () => {
  const mysql = connectMysql(inject('mysqlUrl'), { connectionLimit: LIMIT })
  onTestFinished(() => mysql.close())
  const hold = (seconds: number) =>
    mysql.use(({ connection }) => connection.query('SELECT SLEEP(?)', [seconds]), DEADLINE_MS, 'begun')
  expect(mysql.pool.lineMs()).toBe(0)
  const served = Array.from({ length: 20 }, () => hold(0.05))
  await expect.poll(() => mysql.pool.lineMs(), { interval: 5 }).toBeGreaterThan(100)
  await Promise.all(served)
  const stuck = Array.from({ length: 3 }, () => hold(2))
  await expect.poll(() => mysql.pool.lineMs(), { interval: 5 }).toBeGreaterThan(0)
  await expect.poll(() => mysql.pool.lineMs(), { interval: 5, timeout: 1_500 }).toBe(0)
  await Promise.all(stuck)
}, 30_000)
