import { readFileSync, readdirSync } from 'node:fs'
import { platform } from 'node:os'

import { afterAll, describe, expect, it } from 'vitest'

import { createHashWorkers } from './hash-workers.ts'
import { hashPassword, verifyPassword } from './password.ts'

const workers = createHashWorkers(2)
afterAll(() => workers.close())

/** The nice value of each thread of this process. */
function niceValues(): number[] {
  return readdirSync('/proc/self/task').map((thread) => {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'utf8')
    // The 19th field; the name in brackets before may hold anything.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
  })
}

describe('the threads that hash passwords', () => {
  it('say what the library says, several at once, each to who has asked', async () => {
    const passwords = Array.from({ length: 6 }, (_, at) => `correct horse ${at}`)
    const hashes = await Promise.all(passwords.map((password) => hashPassword(password, workers)))
    const verdicts = await Promise.all(
      hashes.flatMap((hash, at) => [
        verifyPassword(hash, passwords[at]!, workers),
        verifyPassword(hash, 'another horse', workers),
      ]),
    )
    expect(verdicts).toEqual(passwords.flatMap(() => [true, false]))
    expect(await verifyPassword(hashes[0], passwords[0]!)).toBe(true)
    expect(await verifyPassword(undefined, passwords[0]!, workers)).toBe(false)
  })

  it('tell who has asked what went wrong, and go on', async () => {
    await expect(workers.verify('no hash', 'x')).rejects.toThrow()
    expect(await verifyPassword(await hashPassword('correct horse', workers), 'correct horse', workers)).toBe(
      true,
    )
  })

  it.runIf(platform() === 'linux')('leave the cores to all other threads of the process', async () => {
    await hashPassword('correct horse', workers)
    const nice = niceValues()
    const own = Number(
      readFileSync('/proc/self/stat', 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')[16],
    )
    expect(nice).toContain(10)
    expect(nice.filter((value) => value === 10).length).toBeLessThanOrEqual(2)
    expect(own).toBeLessThan(10)
  })
})
