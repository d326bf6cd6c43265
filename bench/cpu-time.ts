import { readFileSync } from 'node:fs'

/** Linux tells CPU time in ticks of USER_HZ, which is 100 on everything that Node runs on. */
const US_PER_TICK = 10_000

/** The CPU time that a process and its threads have used so far; undefined where there is no /proc. */
export function cpuTimeUs(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined
  return cpuTicks(readFileSync(`/proc/${pid}/stat`, 'utf8')) * US_PER_TICK
}

/** utime and stime of a /proc/<pid>/stat. */
export function cpuTicks(stat: string): number {
  // The name (field 2) may hold blanks and brackets, so count from its last bracket: field 3 follows.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[14 - 3]) + Number(fields[15 - 3])
}
