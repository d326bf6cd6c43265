import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** @type {string | undefined} */
let bootId

/**
 * What tells a process from a later one that was given the same pid: the boot and the clock tick it started at.
 *
 * Without it a pid read from a file after a crash or a reboot could name somebody else's process, and ending
 * "our" leftovers would end theirs. A zombie counts as gone.
 *
 * @param {number} pid
 * @returns {string | undefined} undefined when no such process runs
 */
export function identify(pid) {
  if (process.platform !== 'linux') return startedAt(pid)
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name (field 2) may hold blanks and brackets, so count from its last bracket: field 3 is the state.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${bootId}/${fields[19]}`
  } catch {
    return undefined
  }
}

/**
 * @param {number} pid
 * @returns {string | undefined}
 */
function startedAt(pid) {
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined
  } catch {
    return undefined
  }
}
