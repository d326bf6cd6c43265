/** The stores a process depends on. */
export type Store = 'mysql' | 'redis' | 'rabbitmq'

/**
 * A store did not answer, or not in time.
 *
 * `outcome` tells what is known about the call: `not-sent` means that the store cannot have acted on it,
 * `unknown` that it may have, or may still. Stock is never given back because of an `unknown`.
 */
export class StoreAway extends Error {
  override readonly name = 'StoreAway'
  readonly store: Store
  readonly outcome: 'not-sent' | 'unknown'

  constructor(store: Store, outcome: 'not-sent' | 'unknown', cause: unknown) {
    super(`${store} is away (${outcome})`, { cause })
    this.store = store
    this.outcome = outcome
  }
}

/** More wait for a store already than it can serve in time. Nothing was sent; whoever waits is served the sooner for it. */
export class StoreCrowded extends StoreAway {
  constructor(store: Store) {
    super(store, 'not-sent', new Error('too many wait for a connection'))
  }
}

/** A store answered something its caller does not know: the two are of different releases. */
export class UnexpectedReply extends Error {
  override readonly name = 'UnexpectedReply'

  constructor(source: string, reply: unknown) {
    super(`${source} answered ${JSON.stringify(reply)}`)
  }
}

/** What MySQL said a moment ago is a minute old to Redis: nothing can be settled until the hosts' clocks agree. */
export class ClocksDiffer extends Error {
  override readonly name = 'ClocksDiffer'

  constructor() {
    super('the clocks of MySQL and Redis differ by more than a minute; synchronise them')
  }
}

/** The settings in the environment are not usable; `problems` lists all of them, each naming its variable. */
export class ConfigInvalid extends Error {
  override readonly name = 'ConfigInvalid'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length} problem(s):\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    )
    this.problems = problems
  }
}

/** Makes the compiler point at every place that does not handle a new kind. */
export function assertNever(value: never): never {
  throw new UnexpectedReply('an exhaustive switch', value)
}
