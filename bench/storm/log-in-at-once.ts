import { connect } from 'node:net'

import { addressOf } from '../load/address-of.ts'
import { answerAsks } from '../load/ask.ts'

/**
 * So many logins with wrong passwords in one moment, each on a connection and from an address of its own. Whoever storms
 * has a machine for it: bytes on sockets take as little as possible of the one that is measured.
 */
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
  const { hostname, port, host } = new URL(origin)
  const logIn = (account: number): Promise<string> => {
    const body = JSON.stringify({
      phone: `+86139${String(account).padStart(8, '0')}`,
      password: 'a wrong guess',
    })
    const head = [
      'POST /api/v1/auth/login HTTP/1.1',
      `host: ${host}`,
      'content-type: application/json',
      `content-length: ${body.length}`,
      `x-forwarded-for: ${addressOf(OTHER_ADDRESSES + account)}`,
      'connection: close',
    ]
    return new Promise((resolve) => {
      let status: string | undefined
      connect({ host: hostname, port: Number(port), noDelay: true })
        .on(
          'data',
          (answer) => (status ??= answer.toString('latin1', 'HTTP/1.1 '.length, 'HTTP/1.1 200'.length)),
        )
        .on('error', (error) => resolve(error.message))
        .on('close', () => resolve(status ?? 'no answer'))
        .write(`${head.join('\r\n')}\r\n\r\n${body}`)
    })
  }
  const nowMs = (): number => performance.timeOrigin + performance.now()
  const beganAtMs = nowMs()
  const answers = await Promise.all(Array.from({ length: logins }, (_, at) => logIn(firstAccount + at)))
  const statuses: Record<string, number> = {}
  for (const answer of answers) statuses[answer] = (statuses[answer] ?? 0) + 1
  return { beganAtMs, endedAtMs: nowMs(), statuses }
})
