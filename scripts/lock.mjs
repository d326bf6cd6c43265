import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { identify } from './process-identity.mjs'

/**
 * @typedef {{ kind: 'taken', release: () => void } | { kind: 'held', pid: number }} LockOutcome
 */

/**
 * Takes a lock file, unless a living process holds it. A lock whose holder was killed is taken over.
 *
 * @param {string} file
 * @returns {LockOutcome}
 */
export function tryLock(file) {
  mkdirSync(dirname(file), { recursive: true })
  const own = `${process.pid} ${identify(process.pid)}`
  const draft = `${file}.${process.pid}`
  // Linked into place, so nobody ever reads a lock that is still empty.
  writeFileSync(draft, own)
  try {
    for (;;) {
      try {
        linkSync(draft, file)
        return { kind: 'taken', release: releaseOf(file, own) }
      } catch (error) {
        if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
      }
      const found = read(file)
      if (found === undefined) continue
      const pid = holder(found)
      if (pid !== undefined) return { kind: 'held', pid }
      removeStale(file, found)
    }
  } finally {
    rmSync(draft, { force: true })
  }
}

/**
 * Waits until the lock is free and takes it.
 *
 * @param {string} file
 * @param {{ onWait?: (pid: number) => void, signal?: AbortSignal }} [options]
 * @returns {Promise<() => void>} gives it back
 */
export async function waitForLock(file, { onWait, signal } = {}) {
  let told = false
  for (;;) {
    signal?.throwIfAborted()
    const outcome = tryLock(file)
    if (outcome.kind === 'taken') return outcome.release
    if (!told) onWait?.(outcome.pid)
    told = true
    await sleep(200)
  }
}

/**
 * @param {string} file
 * @param {string} own
 */
function releaseOf(file, own) {
  const release = () => {
    process.off('exit', release)
    if (read(file) === own) rmSync(file, { force: true })
  }
  process.on('exit', release)
  return release
}

/**
 * @param {string} content
 * @returns {number | undefined} the holder's pid while it lives
 */
function holder(content) {
  const [pid, ...identity] = content.split(' ')
  return identify(Number(pid)) === identity.join(' ') ? Number(pid) : undefined
}

/**
 * Two waiters may find the same stale lock. The second to remove it would remove the first one's new lock, so
 * what was moved away is looked at again and put back when it is not the stale one.
 *
 * @param {string} file
 * @param {string} stale
 */
function removeStale(file, stale) {
  const moved = `${file}.stale.${process.pid}`
  try {
    renameSync(file, moved)
    if (read(moved) !== stale) linkSync(moved, file)
  } catch {
    // Somebody else was quicker; the next round sees what they left.
  } finally {
    rmSync(moved, { force: true })
  }
}

/**
 * @param {string} file
 * @returns {string | undefined}
 */
function read(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
