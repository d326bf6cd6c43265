import { parseNetwork, type IpAddress, type IpNetwork } from '../ip-address.ts'
import type { BlacklistEntry } from './blacklist-entries.ts'
import type { Subject } from './blacklist-subject.ts'

/**
 * Entries of the blacklist, to be found in the same time however many there are.
 *
 * Users and phone numbers are keys. Ranges lie in one map per prefix length: an address is asked for once per length
 * that is in use, so the cost grows with the lengths (a handful), never with the entries.
 */
export interface BlacklistIndex {
  readonly size: number
  put(entry: BlacklistEntry): void
  remove(subject: Subject): void
  ofUser(userId: number): BlacklistEntry | undefined
  ofSubject(subject: Subject): BlacklistEntry | undefined
  /** The longest range that holds this address, as long as it is in force. */
  ofAddress(address: IpAddress, nowMs: number): BlacklistEntry | undefined
}

export function createBlacklistIndex(): BlacklistIndex {
  const exact = new Map<string, BlacklistEntry>()
  /** Once more by number: building and hashing a text for each purchase would cost five times as much. */
  const users = new Map<number, BlacklistEntry>()
  const ranges4 = createRanges<number>((value, prefix) => Math.floor(value / 2 ** (32 - prefix)))
  const ranges6 = createRanges<bigint>((value, prefix) => value >> BigInt(128 - prefix))

  return {
    get size() {
      return exact.size
    },

    put(entry) {
      exact.set(entry.subject, entry)
      const userId = userIdOf(entry.subject)
      if (userId !== undefined) users.set(userId, entry)
      const network = networkOf(entry.subject)
      if (network?.family === 4) ranges4.put(network.value, network.prefix, entry)
      if (network?.family === 6) ranges6.put(network.value, network.prefix, entry)
    },

    remove(subject) {
      exact.delete(subject)
      const userId = userIdOf(subject)
      if (userId !== undefined) users.delete(userId)
      const network = networkOf(subject)
      if (network?.family === 4) ranges4.remove(network.value, network.prefix)
      if (network?.family === 6) ranges6.remove(network.value, network.prefix)
    },

    ofUser: (userId) => users.get(userId),
    ofSubject: (subject) => exact.get(subject),

    ofAddress: (address, nowMs) =>
      address.family === 4 ? ranges4.find(address.value, nowMs) : ranges6.find(address.value, nowMs),
  }
}

/** Whether an entry has not run out. */
export function isInForce(entry: BlacklistEntry, nowMs: number): boolean {
  return entry.expiresAtMs === undefined || entry.expiresAtMs > nowMs
}

function userIdOf(subject: Subject): number | undefined {
  return subject.startsWith('user:') ? Number(subject.slice('user:'.length)) : undefined
}

function networkOf(subject: Subject): IpNetwork | undefined {
  return subject.startsWith('network:') ? parseNetwork(subject.slice('network:'.length)) : undefined
}

function createRanges<Value extends number | bigint>(firstBits: (value: Value, prefix: number) => Value) {
  /** Longest first: what was said about a single address stands before what was said about its network. */
  let lengths: { prefix: number; entries: Map<Value, BlacklistEntry> }[] = []

  return {
    put(value: Value, prefix: number, entry: BlacklistEntry): void {
      let length = lengths.find((known) => known.prefix === prefix)
      if (!length) {
        length = { prefix, entries: new Map() }
        lengths = [...lengths, length].toSorted((a, b) => b.prefix - a.prefix)
      }
      length.entries.set(firstBits(value, prefix), entry)
    },

    remove(value: Value, prefix: number): void {
      const length = lengths.find((known) => known.prefix === prefix)
      length?.entries.delete(firstBits(value, prefix))
      if (length?.entries.size === 0) lengths = lengths.filter((known) => known !== length)
    },

    find(value: Value, nowMs: number): BlacklistEntry | undefined {
      for (const { prefix, entries } of lengths) {
        const entry = entries.get(firstBits(value, prefix))
        if (entry && isInForce(entry, nowMs)) return entry
      }
      return undefined
    },
  }
}
