export interface HashLineLimits {
  /** How many hashes are computed at the same time. Each takes a whole core and 19 MiB for its 20 ms. */
  atOnce: number
  /** Who comes when so many wait already is sent away at once. */
  waitingMax: number
}

/** A place in the line. Whoever joined must leave. */
export interface PlaceInLine {
  /** Waits for a turn, and works alone (or with `atOnce - 1` others) until `work` is done. */
  inTurn<T>(work: () => Promise<T>): Promise<T>
  leave(): void
}

export interface HashLine {
  readonly atOnce: number
  /** A place, or how long the line will take: it is full. */
  join(): PlaceInLine | LineFull
  /**
   * What `join` would say to who is sent away, or undefined: asked before anything is done for them.
   *
   * @param before how many come before, most of whom have not joined so far
   */
  whenFull(before?: number): LineFull | undefined
}

export interface LineFull {
  kind: 'overloaded'
  retryAfterMs: number
}

/** Until the first hash is done. */
const HASH_MS = 25
/** Of the newest hash in the running mean: hashes are slow while purchases need the cores. */
const WEIGHT = 0.2

/**
 * Where password hashes wait for each other.
 *
 * Without it every login of a storm would hash at the same time on all cores, and the purchases beside it would wait
 * for a core. The place is taken before any store is asked, so that who is sent away costs nothing.
 */
export function createHashLine({ atOnce, waitingMax }: HashLineLimits): HashLine {
  const waiting: (() => void)[] = []
  let inLine = 0
  let working = 0
  let hashMs = HASH_MS

  const turn = async (): Promise<void> => {
    if (working < atOnce) working += 1
    // Whoever is done hands the turn over: `working` stays as it is.
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }
  const done = (): void => {
    const next = waiting.shift()
    if (next) next()
    else working -= 1
  }

  const whenFull = (before = 0): LineFull | undefined => {
    const count = Math.max(inLine, before)
    return count >= atOnce + waitingMax
      ? { kind: 'overloaded', retryAfterMs: Math.ceil((count / atOnce) * hashMs) }
      : undefined
  }

  return {
    atOnce,
    whenFull,
    join() {
      const full = whenFull()
      if (full) return full
      inLine += 1
      let hasLeft = false
      return {
        async inTurn(work) {
          await turn()
          const beganMs = performance.now()
          try {
            return await work()
          } finally {
            hashMs += (performance.now() - beganMs - hashMs) * WEIGHT
            done()
          }
        },
        leave() {
          if (!hasLeft) inLine -= 1
          hasLeft = true
        },
      }
    },
  }
}
