import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

import { identify } from '../process-identity.mjs'

/** How the name of every such file ends. */
export const RECORD_ENDING = '.running.json'

const END_GRACE_MS = 4000

interface Entry {
  pid: number
  /** Tells the process from a later one with the same pid. */
  identity: string
}

/** What was started, by name, in a file: so that a later start finds what a killed one left running. */
export interface ProcessRecord {
  add(name: string, pid: number): void
  remove(name: string): void
  /** The pid under this name while that very process lives. */
  alive(name: string): number | undefined
  names(): string[]
}

export function createProcessRecord(file: string): ProcessRecord {
  const entries = new Map<string, Entry>(Object.entries(read(file)))
  const write = () => {
    mkdirSync(dirname(file), { recursive: true })
    // Renamed into place: a kill -9 in the middle must not leave half a list.
    writeFileSync(`${file}.new`, JSON.stringify(Object.fromEntries(entries), null, 2))
    renameSync(`${file}.new`, file)
  }
  return {
    add(name, pid) {
      const identity = identify(pid)
      if (identity === undefined) return // it has died already; its exit is seen by whoever started it
      entries.set(name, { pid, identity })
      write()
    },
    remove(name) {
      if (entries.delete(name)) write()
    },
    alive(name) {
      const entry = entries.get(name)
      return entry && identify(entry.pid) === entry.identity ? entry.pid : undefined
    },
    names: () => [...entries.keys()],
  }
}

/** Ends a recorded process: SIGTERM, and SIGKILL to its group when it has not gone in time. */
export async function endRecorded(record: ProcessRecord, name: string, graceMs: number): Promise<void> {
  const pid = record.alive(name)
  if (pid !== undefined) {
    signalProcess(pid, 'SIGTERM')
    if (!(await isGone(record, name, graceMs))) {
      signalGroup(pid, 'SIGKILL')
      await isGone(record, name, 2000)
    }
    // What the process itself started and did not end with it.
    signalGroup(pid, 'SIGKILL')
  }
  record.remove(name)
}

/** Ends everything recorded, side by side. */
export async function endAllRecorded(record: ProcessRecord): Promise<void> {
  await Promise.all(record.names().map((name) => endRecorded(record, name, END_GRACE_MS)))
}

/** Ends everything recorded at once; for a second Ctrl-C and for the last moment of a process. */
export function killRecorded(record: ProcessRecord): void {
  for (const name of record.names()) {
    const pid = record.alive(name)
    if (pid !== undefined) signalGroup(pid, 'SIGKILL')
    record.remove(name)
  }
}

export async function isGone(record: ProcessRecord, name: string, withinMs: number): Promise<boolean> {
  const deadlineMs = performance.now() + withinMs
  while (record.alive(name) !== undefined) {
    if (performance.now() > deadlineMs) return false
    await sleep(25)
  }
  return true
}

export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Everything recorded was started as the leader of a process group of its own. */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // Nobody of the group is left.
  }
}

function read(file: string): Record<string, Entry> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, Entry>
  } catch {
    return {}
  }
}
