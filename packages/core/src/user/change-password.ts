import type { Accounts, ChangePasswordOutcome } from './accounts.ts'
import { whyNotChecked, type CheckNeeded, type LoginRequest, type VerifyHumanCheck } from './log-in.ts'
import type { LoginBucket, LoginTries } from './login-tries.ts'
import type { Sessions } from './sessions.ts'

export interface ChangePasswordRequest extends Pick<LoginRequest, 'address' | 'device' | 'check'> {
  userId: number
  old: string
  new: string
  /** The session that asks. */
  keep: string
}

/**
 * Changes a password and ends all sessions but the one that asks, which gets a new id from its caller.
 *
 * They are ended before the change and once more after it: with Redis away nothing is changed, and a session that
 * began in between does not outlive the password that opened it.
 */
export function createChangePassword(deps: {
  accounts: Accounts
  sessions: Sessions
  tries: LoginTries
  verifyHumanCheck: VerifyHumanCheck
}) {
  const { accounts, sessions, tries, verifyHumanCheck } = deps

  return async (request: ChangePasswordRequest): Promise<ChangePasswordOutcome | CheckNeeded> => {
    const { userId, keep } = request
    const bucket: LoginBucket = { of: 'password', userId }
    const taken = await tries.take(bucket)
    if (taken.kind === 'exhausted') {
      const needed = await whyNotChecked(verifyHumanCheck, request)
      if (needed) return needed
    }
    const outcome = await accounts.changePassword({
      userId,
      old: request.old,
      new: request.new,
      beforeChange: () => sessions.endAllOf(userId, keep),
    })
    if (outcome.kind === 'changed') await sessions.endAllOf(userId, keep)
    if (outcome.kind !== 'password_incorrect' && taken.kind === 'taken') {
      void tries.giveBack(bucket).catch(() => undefined)
    }
    return outcome
  }
}
