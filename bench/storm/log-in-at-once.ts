import { Agent, request } from 'node:http'
import { setPriority } from 'node:os'

import { addressOf } from '../load/address-of.ts'
import { answerAsks } from '../load/ask.ts'

/** So many logins with wrong passwords in one moment, each on a connection and from an address of its own. */
export interface LoginStorm {
  origin: string
  logins: number
  /** Nobody is who logged in before: each guesses at an account that the limits do not know yet. */
  firstAccount: number
}

export interface StormResult {
  /** By the wall clock. */
  beganAtMs: number
  endedAtMs: number
  statuses: Record<string, number>
}

const OTHER_ADDRESSES = 2 ** 22

answerAsks<LoginStorm, StormResult>(async ({ origin, logins, firstAccount }) => {
  // Who attacks brings a machine of their own: what is measured is what the api does, not what this process takes from it.
  setPriority(0, 19)
  const agent = new Agent({ keepAlive: false, maxSockets: Infinity })
  const logIn = (account: number): Promise<string> => {
    const body = JSON.stringify({
      phone: `+86139${String(account).padStart(8, '0')}`,
      password: 'a wrong guess',
    })
    return new Promise((resolve) => {
      request(`${origin}/api/v1/auth/login`, {
        agent,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'content-length': body.length,
          'x-forwarded-for': addressOf(OTHER_ADDRESSES + account),
        },
      })
        .on('response', (answer) => answer.on('end', () => resolve(String(answer.statusCode))).resume())
        .on('error', (error) => resolve(error.message))
        .end(body)
    })
  }
  const nowMs = (): number => performance.timeOrigin + performance.now()
  const beganAtMs = nowMs()
  const answers = await Promise.all(Array.from({ length: logins }, (_, at) => logIn(firstAccount + at)))
  const statuses: Record<string, number> = {}
  for (const answer of answers) statuses[answer] = (statuses[answer] ?? 0) + 1
  return { beganAtMs, endedAtMs: nowMs(), statuses }
})
