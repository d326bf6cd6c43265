import type { Redis } from 'ioredis'

import { UnexpectedReply } from '../errors.ts'
import { BLACKLIST_CHANGED, channelOf } from '../redis/channels.ts'
import { redisAnswer } from '../redis/connect-redis.ts'
import { LIST_MAX, bindScript, type LuaScript } from '../redis/lua-script.ts'
import type { Subject } from './blacklist-subject.ts'
import { blacklistKeys } from './gate-keys.ts'

export interface BlacklistEntry {
  subject: Subject
  /** `operator`, or the name of the rule that put it there. */
  cause: string
  reason: string
  addedAtMs: number
  /** By Redis' clock; undefined: until it is removed. */
  expiresAtMs: number | undefined
}

export interface NewEntry {
  subject: Subject
  cause: string
  reason: string
  /** Undefined: until it is removed. */
  lastsMs?: number | undefined
}

/** One change of the blacklist, as every instance hears it; without an entry the subject was removed. */
export interface BlacklistChange {
  version: number
  subject: Subject
  entry: BlacklistEntry | undefined
}

/** Every instance keeps a copy of all entries: 250,000 take about 80 MB. */
export const BLACKLIST_ENTRIES_MAX = 250_000
const REASON_LENGTH_MAX = 200
const PAGE = 1_000

/** The typed face of lua/blacklist-put.lua; read that file for the rules. */
export const blacklistPutScript = {
  file: 'blacklist-put',
  keys: ['entries', 'expiries', 'version'],
  args: ['channel', 'entriesMax'],
  entry: ['subject', 'lastsMs', 'cause', 'reason'],
  decode: decodePut,
} as const satisfies LuaScript

/** The typed face of lua/blacklist-remove.lua. */
export const blacklistRemoveScript = {
  file: 'blacklist-remove',
  keys: ['entries', 'expiries', 'version'],
  args: ['channel'],
  entry: ['subject'],
  decode: Number,
} as const satisfies LuaScript

export type PutOutcome = 'put' | 'full'

export type BlacklistEntries = ReturnType<typeof createBlacklistEntries>

/** The blacklist as Redis has it: for operators and rules, and for the copy of each instance to be filled from. */
export function createBlacklistEntries(redis: Redis) {
  const runPut = bindScript(redis, blacklistPutScript)
  const runRemove = bindScript(redis, blacklistRemoveScript)
  const channel = channelOf(redis, BLACKLIST_CHANGED)
  const keys = blacklistKeys()

  return {
    /** In force on every instance within a moment. `full`: some or all were not written. */
    async put(entries: readonly NewEntry[]): Promise<PutOutcome> {
      for (let from = 0; from < entries.length; from += LIST_MAX) {
        const outcome = await runPut(
          keys,
          { channel, entriesMax: BLACKLIST_ENTRIES_MAX },
          entries.slice(from, from + LIST_MAX).map(({ subject, cause, reason, lastsMs = 0 }) => ({
            subject,
            // Whole milliseconds above zero: 0 would be for ever.
            lastsMs: lastsMs && Math.max(1, Math.ceil(lastsMs)),
            cause,
            reason: oneLine(reason),
          })),
        )
        if (outcome === 'full') return 'full'
      }
      return 'put'
    },

    /** @returns how many of them were on the blacklist. */
    async remove(subjects: readonly Subject[]): Promise<number> {
      let removed = 0
      for (let from = 0; from < subjects.length; from += LIST_MAX) {
        const page = subjects.slice(from, from + LIST_MAX)
        removed += await runRemove(
          keys,
          { channel },
          page.map((subject) => ({ subject })),
        )
      }
      return removed
    },

    /** The number of the last change; 0 when there was none, or when Redis has lost everything. */
    async version(): Promise<number> {
      return Number((await redisAnswer(redis.get(keys.version))) ?? 0)
    },

    /** All entries, page by page; one that changes meanwhile may be missing, or come twice. */
    async *pages(): AsyncGenerator<BlacklistEntry[], void, void> {
      let cursor = '0'
      do {
        const [next, flat] = await redisAnswer(redis.hscan(keys.entries, cursor, 'COUNT', PAGE))
        const page: BlacklistEntry[] = []
        for (let at = 0; at < flat.length; at += 2) {
          const entry = readEntry(flat[at] as Subject, flat[at + 1] as string)
          if (!entry) throw new UnexpectedReply('the blacklist', flat[at])
          page.push(entry)
        }
        yield page
        cursor = next
      } while (cursor !== '0')
    },
  }
}

/** Undefined for what no release of ours says: anybody with access to Redis can publish, and nobody may end a process by it. */
export function readChange(message: string): BlacklistChange | undefined {
  const [version = '', subject = '', value] = message.split('\n')
  if (!/^\d+$/.test(version) || value === undefined) return undefined
  const entry = value === '' ? undefined : readEntry(subject as Subject, value)
  if (value !== '' && !entry) return undefined
  return { version: Number(version), subject: subject as Subject, entry }
}

function readEntry(subject: Subject, value: string): BlacklistEntry | undefined {
  const [, expires, added, cause, reason] = /^(\d+):(\d+):([^:]*):(.*)$/.exec(value) ?? []
  if (cause === undefined || reason === undefined) return undefined
  return {
    subject,
    cause,
    reason,
    addedAtMs: Number(added),
    expiresAtMs: expires === '0' ? undefined : Number(expires),
  }
}

/** A line break would end the entry in the message that tells it. */
function oneLine(reason: string): string {
  return reason.replaceAll(/\p{Cc}+/gu, ' ').slice(0, REASON_LENGTH_MAX)
}

function decodePut(reply: unknown): PutOutcome {
  if (reply !== 'put' && reply !== 'full') throw new UnexpectedReply('blacklist-put', reply)
  return reply
}
