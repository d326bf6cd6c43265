/** A process that lived shorter than this did not do its work; one that lived longer starts a new count. */
const QUICK_DEATH_MS = 10_000

const QUICK_DEATHS_MAX = 5
const FIRST_DELAY_MS = 500
const DELAY_MAX_MS = 10_000

export type AfterDeath = { kind: 'restart'; afterMs: number } | { kind: 'give-up' }

/**
 * What to do about a process that has died, by how long it lived.
 *
 * One death may be anybody's `kill`; five quick ones in a row are a fault that no restart will mend, and
 * starting it for ever would only hide that.
 */
export function createRestartRule(): (livedMs: number) => AfterDeath {
  let quickDeaths = 0
  return (livedMs) => {
    quickDeaths = livedMs < QUICK_DEATH_MS ? quickDeaths + 1 : 1
    if (quickDeaths >= QUICK_DEATHS_MAX) return { kind: 'give-up' }
    return { kind: 'restart', afterMs: Math.min(FIRST_DELAY_MS * 2 ** (quickDeaths - 1), DELAY_MAX_MS) }
  }
}
