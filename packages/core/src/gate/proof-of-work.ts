import { createHash, randomBytes, randomInt } from 'node:crypto'

/**
 * A challenge for people who cannot read a picture, in altcha's format: find the number from 0 to `maxnumber` whose
 * SHA-256 together with the salt is `challenge`. Without altcha's signature, because the server keeps the challenge.
 */
export interface Work {
  algorithm: 'SHA-256'
  challenge: string
  salt: string
  maxnumber: number
}

/** One to two seconds on a phone on average; a computer takes a fraction of one. */
export const WORK_MAX_NUMBER = 250_000
/** Four times that: it is asked for after many wrong passwords, and each one more costs whoever guesses as much. */
export const LOGIN_WORK_MAX_NUMBER = 1_000_000

export function newWork(maxnumber: number): Work {
  const salt = randomBytes(16).toString('hex')
  return { algorithm: 'SHA-256', challenge: proof(salt, String(randomInt(maxnumber + 1))), salt, maxnumber }
}

/** One hash, however hard the work was. */
export function isWorkDone({ challenge, salt }: Pick<Work, 'challenge' | 'salt'>, answer: string): boolean {
  return /^\d{1,9}$/.test(answer) && proof(salt, answer) === challenge
}

/** For tools and tests; pages solve it in packages/api/client/work.ts. */
export function doWork({ challenge, salt, maxnumber }: Work): string | undefined {
  for (let number = 0; number <= maxnumber; number += 1) {
    if (proof(salt, String(number)) === challenge) return String(number)
  }
  return undefined
}

function proof(salt: string, number: string): string {
  return createHash('sha256')
    .update(salt + number)
    .digest('hex')
}
