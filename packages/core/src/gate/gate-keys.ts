import type { Subject } from './blacklist-subject.ts'

/**
 * The keys of the blacklist. One hash tag for all of them: a strike that fills its measure puts the entry in the
 * same step.
 */
export function blacklistKeys() {
  return {
    entries: '{blacklist}:entries',
    expiries: '{blacklist}:expiries',
    version: '{blacklist}:version',
  }
}

/** Counts how often a rule was broken lately. */
export function strikesKey(rule: string, subject: Subject): string {
  return `{blacklist}:strikes:${rule}:${subject}`
}

/** Counts the requests of one bucket in its running window. */
export function limitKey(bucket: string): string {
  return `limit:${bucket}`
}
