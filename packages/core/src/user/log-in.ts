import type { Logger } from '../log.ts'
import type { Account, Accounts, Credentials } from './accounts.ts'
import type { HashLine } from './hash-line.ts'
import { accountKeyOf, addressBlock, type LoginBucket, type LoginTries } from './login-tries.ts'
import { parsePhone } from './phone.ts'

/** The answer to a captcha, as the client sent it. */
export interface HumanCheckAnswer {
  captchaId: string
  answer: string
}

export type HumanCheckVerdict = 'solved' | 'incorrect' | 'expired'

/**
 * Whether this answer solves this check, which was given out for `binding`. One try each: it is used up either way.
 *
 * A port: what the check is lies in a later step (gate), which this one may not know.
 */
export type VerifyHumanCheck = (check: HumanCheckAnswer, binding: string) => Promise<HumanCheckVerdict>

/**
 * Too many guesses at this account or from this address: with a human check the try is made all the same. The other
 * two say what was wrong with the answer that came.
 */
export interface CheckNeeded {
  kind: 'captcha_required' | 'captcha_incorrect' | 'captcha_expired'
}

export interface LoginRequest extends Credentials {
  address: string
  /** Of a browser that has logged in before, and the accounts it has logged in to. */
  device?: { deviceId: string; accountKeys: readonly string[] } | undefined
  check?: HumanCheckAnswer | undefined
}

export type LoginOutcome =
  | {
      kind: 'logged_in'
      account: Account
      accountKey: string
      /**
       * Ask again once the session is written: whoever changes the password in between ends all sessions, and must
       * not miss the one that the old password has just opened.
       */
      isStillValid: () => Promise<boolean>
    }
  | { kind: 'credentials_invalid' }
  | CheckNeeded
  | { kind: 'overloaded'; retryAfterMs: number }

export interface LogInDeps {
  accounts: Pick<Accounts, 'find' | 'verify'>
  line: HashLine
  tries: LoginTries
  verifyHumanCheck: VerifyHumanCheck
  log: Logger
}

/** A log line once a minute from so many failed logins on, over all instances: somebody works through a list. */
export const FAILED_LOGINS_A_MINUTE_ALARM = 300

/**
 * What a check for logging in is given out for: where the request comes from, so that solved ones cannot be passed
 * on. The block of an address, because a phone changes its IPv6 address within it; the device, if it is known.
 */
export function loginBinding({ address, device }: Pick<LoginRequest, 'address' | 'device'>): string {
  return `${addressBlock(address)} ${device?.deviceId ?? ''}`
}

/** Undefined when the check was solved. */
export async function whyNotChecked(
  verifyHumanCheck: VerifyHumanCheck,
  request: Pick<LoginRequest, 'address' | 'device' | 'check'>,
): Promise<CheckNeeded | undefined> {
  if (!request.check) return { kind: 'captcha_required' }
  switch (await verifyHumanCheck(request.check, loginBinding(request))) {
    case 'solved':
      return undefined
    case 'incorrect':
      return { kind: 'captcha_incorrect' }
    case 'expired':
      return { kind: 'captcha_expired' }
  }
}

/**
 * Logs in, or says why not, alike for a number that has no account.
 *
 * The order is what keeps a storm cheap and nobody locked out: a place in the line of hashes (no trip), the buckets
 * (one trip), the account, the hash. A try is taken before it is made, so a thousand at once are a thousand tries.
 */
export function createLogIn({ accounts, line, tries, verifyHumanCheck, log }: LogInDeps) {
  return async (request: LoginRequest): Promise<LoginOutcome> => {
    const place = line.join()
    if ('kind' in place) return place
    try {
      const phone = parsePhone(request.phone, request.region)
      const accountKey = phone && accountKeyOf(phone)
      const taken = await takeTries(request, accountKey)
      if (!Array.isArray(taken)) return taken

      const found = phone ? await accounts.find(phone) : undefined
      const account = await place.inTurn(() => accounts.verify(found, request.password))
      if (!account || !accountKey) {
        // The minute's count is an alarm, not a guard: nobody waits for it, and nobody is refused for want of it.
        void countFailure().catch(() => undefined)
        return { kind: 'credentials_invalid' }
      }
      // Lost with Redis away: then the buckets fill by themselves.
      void Promise.all(taken.map((bucket) => tries.giveBack(bucket))).catch(() => undefined)
      return {
        kind: 'logged_in',
        account,
        accountKey,
        isStillValid: async () => {
          const now = phone ? await accounts.find(phone) : undefined
          return now !== undefined && now.passwordHash === found?.passwordHash
        },
      }
    } finally {
      place.leave()
    }
  }

  /** What was taken, unless a person has to show first that they are one. */
  async function takeTries(
    request: LoginRequest,
    accountKey: string | undefined,
  ): Promise<LoginBucket[] | CheckNeeded> {
    const { address, device } = request
    if (device && accountKey && device.accountKeys.includes(accountKey)) {
      const own: LoginBucket = { of: 'device', deviceId: device.deviceId, accountKey }
      // A known browser that guesses too often is one like any other.
      if ((await tries.take(own)).kind === 'taken') return [own]
    }
    const buckets: LoginBucket[] = [{ of: 'address', address }]
    if (accountKey) buckets.push({ of: 'account', accountKey })
    const outcomes = await Promise.all(buckets.map((bucket) => tries.take(bucket)))
    const taken = buckets.filter((_, at) => outcomes[at]?.kind === 'taken')
    if (taken.length === buckets.length) return taken
    return (await whyNotChecked(verifyHumanCheck, request)) ?? taken
  }

  async function countFailure(): Promise<void> {
    const failures = await tries.countFailure()
    // Exactly at the limit: the count is everybody's, so one instance says it once.
    if (failures === FAILED_LOGINS_A_MINUTE_ALARM) log.warn({ failures }, 'many logins fail this minute')
  }
}

export type LogIn = ReturnType<typeof createLogIn>
