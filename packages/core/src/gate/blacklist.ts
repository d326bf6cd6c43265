import type { IpAddress } from '../ip-address.ts'
import type { RedisClock } from '../redis/redis-clock.ts'
import {
  readChange,
  type BlacklistChange,
  type BlacklistEntries,
  type BlacklistEntry,
} from './blacklist-entries.ts'
import { createBlacklistIndex, isInForce } from './blacklist-index.ts'
import { phoneSubject, type Subject } from './blacklist-subject.ts'

/**
 * This process's copy of the blacklist: asked without a trip.
 *
 * It is fed by the channel. Every change has a number, so a copy that missed one knows it when it asks for the last
 * number, every second, and reads all anew. Expiry needs nobody: an entry whose time is over is not found.
 */
export interface Blacklist {
  findUser(userId: number): BlacklistEntry | undefined
  findPhone(e164: string): BlacklistEntry | undefined
  findAddress(address: IpAddress): BlacklistEntry | undefined
  /** A message of the channel `blacklist-changed`. */
  heard(message: string): void
  /** Reads all entries, whatever this copy knows. */
  load(): Promise<void>
  /** Reads all when this copy missed a change, or when it was last read long ago. */
  refresh(): Promise<void>
  /** Entries here, also those that ran out since the last full read. */
  size(): number
}

/** How often a copy asks whether it missed something: with the time to read, well within two seconds. */
export const BLACKLIST_REFRESH_MS = 1_000
/** Drops what has expired, and mends what no number could tell. */
const FULL_READ_EVERY_MS = 60_000

export function createBlacklist({
  entries,
  clock,
  onPut,
  onFound,
}: {
  entries: BlacklistEntries
  clock: Pick<RedisClock, 'nowMs'>
  /** Somebody has just been put on the blacklist. It is in this copy. */
  onPut?: (subject: Subject) => void
  /** A full read found an entry that this copy did not have. */
  onFound?: (subject: Subject) => void
}): Blacklist {
  let index = createBlacklistIndex()
  /** The number of the last change that is in this copy, with all before it. */
  let version = -1
  let readAtMs = 0
  /** Heard while all is being read: the reading may have passed their place already. */
  let heardMeanwhile: BlacklistChange[] = []
  let loading: Promise<void> | undefined

  async function readAll(): Promise<void> {
    heardMeanwhile = []
    const versionBefore = await entries.version()
    const fresh = createBlacklistIndex()
    const found: Subject[] = []
    const nowMs = clock.nowMs()
    for await (const page of entries.pages()) {
      for (const entry of page) {
        if (!isInForce(entry, nowMs)) continue
        fresh.put(entry)
        if (index.ofSubject(entry.subject)?.addedAtMs !== entry.addedAtMs) found.push(entry.subject)
      }
    }
    index = fresh
    version = versionBefore
    if (onFound) found.forEach(onFound)
    for (const change of heardMeanwhile) take(change)
    readAtMs = performance.now()
  }

  function load(): Promise<void> {
    loading ??= readAll().finally(() => {
      loading = undefined
    })
    return loading
  }

  function take(change: BlacklistChange): void {
    if (change.version <= version) return
    if (change.entry) {
      index.put(change.entry)
      onPut?.(change.subject)
    } else {
      index.remove(change.subject)
    }
    // After a gap the number stays behind, until the next refresh sees it.
    if (change.version === version + 1) version = change.version
  }

  const inForce = (entry: BlacklistEntry | undefined): BlacklistEntry | undefined =>
    entry && isInForce(entry, clock.nowMs()) ? entry : undefined

  return {
    findUser: (userId) => inForce(index.ofUser(userId)),
    findPhone: (e164) => inForce(index.ofSubject(phoneSubject(e164))),
    findAddress: (address) => index.ofAddress(address, clock.nowMs()),

    heard(message) {
      const change = readChange(message)
      // Its number is missing here, so the next refresh reads all.
      if (!change) return
      if (loading) heardMeanwhile.push(change)
      take(change)
    },

    load,

    async refresh() {
      const isOld = performance.now() - readAtMs > FULL_READ_EVERY_MS
      if (isOld || (await entries.version()) !== version) await load()
    },

    size: () => index.size,
  }
}
