import { dictionary } from '@zxcvbn-ts/language-common'
import { describe, expect, it } from 'vitest'

import { hashPassword, isAcceptablePassword, verifyPassword } from './password.ts'

describe('a password', () => {
  it.each([
    ['7 characters', 'a b c d', false],
    ['8 characters', 'a b c d e'.slice(0, 8), true],
    ['128 characters', 'ab '.repeat(43).slice(0, 128), true],
    ['129 characters', 'ab '.repeat(43), false],
    ['128 characters of two code units each', '🦊'.repeat(128), true],
    ['4 characters of two code units each', '🦊'.repeat(4), false],
    ['7 characters that were decomposed to 14', 'é'.normalize('NFD').repeat(7), false],
    ['a NUL', 'correct\0horse', false],
    ['a line break', 'correct\nhorse', true],
    ['spaces alone', '        ', true],
  ])('of %s is taken or refused by what a person counts', (_what, password, isTaken) => {
    expect(isAcceptablePassword(password)).toBe(isTaken)
  })

  it.each(['12345678', 'password', 'Password', 'QWERTYUIOP', '１２３４５６７８', 'trustno1'])(
    'that everybody tries, %s, is refused however it is written',
    (password) => {
      expect(isAcceptablePassword(password)).toBe(false)
    },
  )

  it('of the 3,000 most common of its length is refused', () => {
    const longEnough = dictionary['passwords-common'].filter((password) => password.length >= 8)
    expect(longEnough.length).toBeGreaterThan(3_000)
    expect(longEnough.slice(0, 3_000).filter((password) => isAcceptablePassword(password))).toEqual([])
  })

  it.each([
    ['blitzbuy', false],
    ['BlitzBuy2026!', false],
    ['my blitz-buy', false],
    ['flashsale flash_sale', false],
    ['blitzkrieg bop', true],
    ['flash of a sale', true],
  ])('of words of this site alone, %s, is refused', (password, isTaken) => {
    expect(isAcceptablePassword(password)).toBe(isTaken)
  })

  it.each([
    ['13800138000', false],
    ['138-0013-8000', false],
    ['00138000', false],
    ['+86 138 0013 8000', false],
    ['1380013800099', false],
    ['my 13800138000', true],
    ['90210-11235', true],
  ])('that is one’s own phone number, %s, is refused', (password, isTaken) => {
    expect(isAcceptablePassword(password, '+8613800138000')).toBe(isTaken)
  })

  it('counts to its last character: nothing is cut off', async () => {
    const long = 'x'.repeat(127)
    const hash = await hashPassword(`${long}a`)
    expect(await verifyPassword(hash, `${long}a`)).toBe(true)
    expect(await verifyPassword(hash, `${long}b`)).toBe(false)
    expect(await verifyPassword(hash, long)).toBe(false)
  })

  it('is the same on every keyboard, and never ends at a NUL', async () => {
    const hash = await hashPassword('Crème brûlée')
    expect(await verifyPassword(hash, 'Crème brûlée'.normalize('NFD'))).toBe(true)
    expect(await verifyPassword(hash, 'Crème brûlée\0')).toBe(false)
    expect(await verifyPassword(hash, 'Crème brûlée\0more')).toBe(false)
  })

  it('takes the same time for nobody, and for what cannot be a password', { timeout: 60_000 }, async () => {
    const hash = await hashPassword('correct horse')
    await verifyPassword(undefined, 'warm up')
    const timeOf = async (stored: string | undefined, password: string): Promise<number> => {
      const beganMs = performance.now()
      await verifyPassword(stored, password)
      return performance.now() - beganMs
    }
    // In turn, and the best of each: a machine that is busy for a moment is so for all three.
    const best = { wrong: Infinity, nobody: Infinity, impossible: Infinity }
    const isAlike = (otherMs: number) => otherMs > best.wrong / 2 && otherMs < best.wrong * 2
    for (let round = 0; round < 60; round += 1) {
      if (round >= 12 && isAlike(best.nobody) && isAlike(best.impossible)) break
      best.wrong = Math.min(best.wrong, await timeOf(hash, 'wrong horse'))
      best.nobody = Math.min(best.nobody, await timeOf(undefined, 'wrong horse'))
      best.impossible = Math.min(best.impossible, await timeOf(hash, 'no\0pe'))
    }
    expect(best).toSatisfy(() => isAlike(best.nobody) && isAlike(best.impossible))
  })
})
