import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Gives a process of this run one core, and everything else of this run the others: as if it had a host of its own,
 * where nobody who asks it for something takes its core away.
 *
 * Linux only, by util-linux' `taskset`.
 *
 * @returns what ends it, or undefined where it cannot be done
 */
export async function giveOwnCore(pid: number): Promise<(() => Promise<void>) | undefined> {
  const [own, ...others] = await coresOfThis()
  if (own === undefined || others.length === 0) return undefined
  await keepTo([own], pid)
  // Whatever this process starts from now on inherits its cores.
  const rest = [process.pid, ...(await startedBy(process.pid))].filter((one) => one !== pid)
  await Promise.all(rest.map((one) => keepTo(others, one)))
  return async () => {
    await Promise.all([pid, ...rest].map((one) => keepTo([own, ...others], one)))
  }
}

async function keepTo(cores: readonly number[], pid: number): Promise<void> {
  try {
    await run('taskset', ['--all-tasks', '--cpu-list', '--pid', cores.join(','), String(pid)])
  } catch (error) {
    // Some have ended meanwhile.
    if (existsSync(`/proc/${pid}`)) throw error
  }
}

/** By number; none where nobody can be kept to some of them. */
async function coresOfThis(): Promise<number[]> {
  try {
    await run('taskset', ['--version'])
    const [, list = ''] =
      /^Cpus_allowed_list:\s*(\S+)$/m.exec(await readFile('/proc/self/status', 'utf8')) ?? []
    return list.split(',').flatMap((range) => {
      const [first = NaN, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, at) => first + at)
    })
  } catch {
    return []
  }
}

/** Directly or by one of those. */
async function startedBy(ancestor: number): Promise<number[]> {
  const children = new Map<number, number[]>()
  for (const name of await readdir('/proc')) {
    // Some have ended meanwhile. The name of a program, in parentheses, may have any character.
    const stat = /^\d+$/.test(name) ? await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '') : ''
    const parent = Number(stat.slice(stat.lastIndexOf(')')).split(' ')[2])
    if (parent > 0) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const found: number[] = []
  for (let next = [ancestor]; next.length > 0; found.push(...next)) {
    next = next.flatMap((pid) => children.get(pid) ?? [])
  }
  return found
}
