import { createOperatorMarks } from '@blitzbuy/core/user/operator-marks'
import { createSealer } from '@blitzbuy/core/user/sealed-secret'
import { WRONG_CODES_MAX, createSecondFactors, type SecondFactors } from '@blitzbuy/core/user/second-factors'
import { totpAt } from '@blitzbuy/core/user/totp'
import type { RowDataPacket } from 'mysql2/promise'
import { beforeAll, describe, expect, it } from 'vitest'

import { newUserId, useOwnStores } from './own-stores.ts'

const stores = useOwnStores()
let factors: SecondFactors
beforeAll(() => {
  factors = createSecondFactors({ mysql: stores.mysql, sealer: createSealer(['k'.repeat(32)]) })
})

const STEP_MS = 30_000

async function query<Row>(sql: string, values: unknown[] = []): Promise<Row[]> {
  const [rows] = await stores.mysql.use(({ connection }) =>
    connection.query<(RowDataPacket & Row)[]>(sql, values),
  )
  return rows
}

/** The clock that decides. */
async function nowMs(): Promise<number> {
  const [row] = await query<{ now: Date }>('SELECT UTC_TIMESTAMP(3) AS now')
  return row?.now.getTime() ?? 0
}

/** Somebody with an app, whose code of this moment is used up by the setting up. */
async function enrolled(): Promise<{ userId: number; secret: string; recoveryCodes: string[] }> {
  const userId = newUserId()
  const begun = await factors.begin(userId, 'somebody')
  const outcome = await factors.confirm(userId, totpAt(begun?.secret ?? '', await nowMs()))
  if (!begun || outcome.kind !== 'confirmed') throw new Error(`not set up: ${outcome.kind}`)
  return { userId, secret: begun.secret, recoveryCodes: outcome.recoveryCodes }
}

/** As if the codes before had been used long ago. */
async function forgetStep(userId: number): Promise<void> {
  await query('UPDATE second_factors SET last_step = 0 WHERE user_id = ?', [userId])
}

describe('a second factor', () => {
  it('is set up by its first code; the secret is shown until then, and stands nowhere in clear', async () => {
    const userId = newUserId()
    const begun = await factors.begin(userId, 'somebody')
    expect(begun?.uri).toMatch(/^otpauth:\/\/totp\/BlitzBuy:somebody\?/)
    expect(await factors.begin(userId, 'somebody')).toEqual(begun)

    expect(await factors.confirm(userId, '000000')).toMatchObject({ kind: 'incorrect' })
    const outcome = await factors.confirm(userId, totpAt(begun?.secret ?? '', await nowMs()))
    expect(outcome).toMatchObject({ kind: 'confirmed' })
    expect(await factors.begin(userId, 'somebody')).toBeUndefined()

    const stored = JSON.stringify([
      await query('SELECT * FROM second_factors WHERE user_id = ?', [userId]),
      await query('SELECT * FROM recovery_codes WHERE user_id = ?', [userId]),
    ])
    expect(stored).not.toContain(begun?.secret)
    const codes = outcome.kind === 'confirmed' ? outcome.recoveryCodes : []
    expect(codes).toHaveLength(10)
    for (const code of codes) expect(stored).not.toContain(code.replaceAll('-', ''))
  })

  it('takes each code once, whoever sends it again and however fast', async () => {
    const { userId, secret } = await enrolled()
    // The code that set it up is used up, too.
    expect(await factors.verify(userId, totpAt(secret, await nowMs()))).toMatchObject({ kind: 'incorrect' })

    await forgetStep(userId)
    const code = totpAt(secret, await nowMs())
    const outcomes = await Promise.all(Array.from({ length: 4 }, () => factors.verify(userId, code)))
    expect(outcomes.filter(({ kind }) => kind === 'verified')).toHaveLength(1)
  })

  it.each([-1, 0, 1])('knows the code of a clock that is %i steps off', async (steps) => {
    const { userId, secret } = await enrolled()
    await forgetStep(userId)
    const code = totpAt(secret, (await nowMs()) + steps * STEP_MS)
    expect(await factors.verify(userId, code)).toEqual({ kind: 'verified' })
  })

  it.each([-3, 3])('does not know the code of a clock that is %i steps off', async (steps) => {
    const { userId, secret } = await enrolled()
    await forgetStep(userId)
    const code = totpAt(secret, (await nowMs()) + steps * STEP_MS)
    expect(await factors.verify(userId, code)).toMatchObject({ kind: 'incorrect' })
  })

  it('is guessed at five times, a thousand at once or not; then not even the right code opens', async () => {
    const { userId, secret, recoveryCodes } = await enrolled()
    await forgetStep(userId)
    const right = totpAt(secret, await nowMs())
    const wrong = String((Number(right) + 1) % 1_000_000).padStart(6, '0')
    const outcomes = await Promise.all(Array.from({ length: 12 }, () => factors.verify(userId, wrong)))
    expect(outcomes.filter(({ kind }) => kind === 'incorrect')).toHaveLength(WRONG_CODES_MAX)
    expect(await factors.verify(userId, right)).toMatchObject({ kind: 'locked' })
    expect(await factors.verify(userId, recoveryCodes[0] ?? '')).toMatchObject({ kind: 'locked' })
    expect(
      await query("SELECT id FROM audit_log WHERE action = 'second-factor.lock' AND subject = ?", [
        `user:${userId}`,
      ]),
    ).toHaveLength(1)

    // A quarter of an hour later.
    await query(
      'UPDATE second_factors SET tries_since = tries_since - INTERVAL 15 MINUTE WHERE user_id = ?',
      [userId],
    )
    expect(await factors.verify(userId, totpAt(secret, await nowMs()))).toEqual({ kind: 'verified' })
  })

  it('is replaced by a recovery code, each once, however it is typed', async () => {
    const { userId, recoveryCodes } = await enrolled()
    const [first = '', second = ''] = recoveryCodes
    expect(await factors.verify(userId, first.toLowerCase().replaceAll('-', ' '))).toEqual({
      kind: 'verified',
    })
    expect(await factors.verify(userId, first)).toMatchObject({ kind: 'incorrect' })
    expect(await factors.verify(userId, second)).toEqual({ kind: 'verified' })
    expect(await factors.verify(newUserId(), recoveryCodes[2] ?? '')).toMatchObject({ kind: 'incorrect' })
  })

  it('is sealed by the new key once its owner was here; then the old key can go', async () => {
    const { userId, secret, recoveryCodes } = await enrolled()
    const keys = (...names: string[]) =>
      createSecondFactors({
        mysql: stores.mysql,
        sealer: createSealer(names.map((name) => name.repeat(32))),
      })
    expect(await keys('n', 'k').verify(userId, recoveryCodes[0] ?? '')).toEqual({ kind: 'verified' })
    await forgetStep(userId)
    expect(await keys('n').verify(userId, totpAt(secret, await nowMs()))).toEqual({ kind: 'verified' })
  })

  it('that is reset is set up anew with another secret; the old codes are worth nothing', async () => {
    const { userId, secret, recoveryCodes } = await enrolled()
    expect(await factors.reset(userId, { name: 'a test' })).toBe(true)
    expect(await factors.verify(userId, recoveryCodes[0] ?? '')).toMatchObject({ kind: 'incorrect' })
    const again = await factors.begin(userId, 'somebody')
    expect(again?.secret).not.toBe(secret)
    expect(await factors.reset(newUserId(), { name: 'a test' })).toBe(false)
  })
})

describe('the mark of an operator’s session', () => {
  it('ages: it goes when it is not used, and after its time in any case', async () => {
    let now = 1_000_000
    const limits = { idleSeconds: 60, absoluteSeconds: 100 }
    const marks = createOperatorMarks(stores.redis, limits, () => now)
    const sessionId = `s-${newUserId()}`
    await marks.set(sessionId, 7)
    expect(await marks.use(sessionId, 7)).toBe(1_000_000)
    expect(await marks.use(sessionId, 8)).toBeUndefined()
    expect(await stores.redis.pttl(`operator-mark:${sessionId}`)).toBeLessThanOrEqual(60_000)

    now += 70_000
    expect(await marks.use(sessionId, 7)).toBe(1_000_000)
    // Used all the time, it still ends 100 s after it was set.
    expect(await stores.redis.pttl(`operator-mark:${sessionId}`)).toBeLessThanOrEqual(30_000)
    now += 31_000
    expect(await marks.use(sessionId, 7)).toBeUndefined()

    await marks.set(sessionId, 7)
    await marks.remove(sessionId)
    expect(await marks.use(sessionId, 7)).toBeUndefined()
  })
})
