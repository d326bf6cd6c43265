import { readFileSync } from 'node:fs'

import type { Redis } from '@blitzbuy/core/redis/connect-redis'

/** Linux tells CPU time in ticks of USER_HZ, which is 100 on everything that Node runs on. */
const US_PER_TICK = 10_000

/** The CPU time that processes and their threads have used so far; undefined where there is no /proc. */
export function cpuTimeUs(...pids: number[]): number | undefined {
  if (process.platform !== 'linux') return undefined
  const ticks = pids.map((pid) => cpuTicks(readFileSync(`/proc/${pid}/stat`, 'utf8')))
  return ticks.reduce((sum, one) => sum + one, 0) * US_PER_TICK
}

/** utime and stime of a /proc/<pid>/stat. */
export function cpuTicks(stat: string): number {
  // The name (field 2) may hold blanks and brackets, so count from its last bracket: field 3 follows.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[14 - 3]) + Number(fields[15 - 3])
}

/**
 * The CPU time that the thread has used so far that answers requests, to the microsecond; undefined where there is no
 * /proc.
 */
export function mainThreadCpuUs(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined
  const [nanoseconds] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')
  return Number(nanoseconds) / 1_000
}

/** What of a process is in memory now; undefined where there is no /proc. */
export function residentBytes(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
}

/** What Redis says of itself: its CPU time so far, to the microsecond, and what of it is in memory. */
export async function readRedisFigures(redis: Redis): Promise<{ cpuUs: number; residentBytes: number }> {
  const info = await redis.info('everything')
  const field = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1])
  return {
    cpuUs: (field('used_cpu_user') + field('used_cpu_sys')) * 1e6,
    residentBytes: field('used_memory_rss'),
  }
}
