import type { Accounts } from '../user/accounts.ts'
import type { Sessions } from '../user/sessions.ts'
import type { Subject } from './blacklist-subject.ts'

/**
 * Ends the sessions of accounts that were put on the blacklist.
 *
 * Every instance does it when it hears of an entry, whoever made it: then none depends on the process that made it
 * living on, and a session that this instance has just begun is among those it ends. Until it is done the account is
 * refused by each request (see the api's blacklist plugin).
 */
export interface BlockedSessions {
  /** Of an entry that was made this moment. */
  end(subject: Subject): void
  /** Of an entry that was found while reading all: it may be old, and nobody waits for it. */
  endLater(subject: Subject): void
  /** Ends what is left over; what fails again stays. */
  workOff(): Promise<void>
}

export function createBlockedSessions(deps: {
  sessions: Pick<Sessions, 'endAllOf'>
  accounts: Pick<Accounts, 'find'>
}): BlockedSessions {
  const { sessions, accounts } = deps
  const left = new Set<Subject>()

  async function endOf(subject: Subject): Promise<void> {
    const userId = await userOf(subject)
    if (userId !== undefined) await sessions.endAllOf(userId)
  }

  async function userOf(subject: Subject): Promise<number | undefined> {
    const [kind, name] = splitOnce(subject)
    if (kind === 'user') return Number(name)
    return kind === 'phone' ? (await accounts.find(name))?.id : undefined
  }

  return {
    end(subject) {
      endOf(subject).catch(() => left.add(subject))
    },
    endLater(subject) {
      if (!subject.startsWith('network:')) left.add(subject)
    },
    async workOff() {
      for (const subject of left) {
        await endOf(subject)
        left.delete(subject)
      }
    },
  }
}

function splitOnce(subject: Subject): [string, string] {
  const colon = subject.indexOf(':')
  return [subject.slice(0, colon), subject.slice(colon + 1)]
}
