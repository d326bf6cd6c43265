import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { afterAll, beforeAll, expect } from 'vitest'

import { run } from '../scripts/run.mjs'
import { createProcessRecord, RECORD_ENDING } from '../scripts/stores/process-record.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const pm2Folder = dirname(createRequire(import.meta.url).resolve('pm2/package.json'))

export interface Pm2Process {
  name: string
  pid: number
  status: string
  restarts: number
  healthPort: number
}

interface Pm2Entry {
  name: string
  pid: number
  pm2_env: { status: string; restart_time: number; NODE_APP_INSTANCE: number; HEALTH_PORT: string }
}

/**
 * PM2 with a home of its own, as a host has one. Whatever it runs ends with the tests.
 *
 * @param inHost puts a command line on another host, such as a network namespace
 */
export function usePm2(inHost: (command: string[]) => string[] = (command) => command) {
  let folder: TemporaryFolder
  const homeFile = (name: string) => join(folder.path, name)

  beforeAll(async () => {
    folder = await makeTemporaryFolder()
  })
  afterAll(() => end(), 60_000)

  let isEnded = false
  async function end(): Promise<void> {
    if (!folder || isEnded) return
    isEnded = true
    if (existsSync(homeFile('pm2'))) await pm2(['kill'])
    await folder.remove()
  }

  async function pm2(args: string[], env: Record<string, string> = {}): Promise<string> {
    const [command = '', ...rest] = inHost([process.execPath, join(pm2Folder, 'bin', 'pm2'), ...args])
    const { code, output } = await run(command, rest, {
      cwd: root,
      env: {
        PATH: process.env.PATH ?? '',
        HOME: folder.path,
        PM2_HOME: homeFile('pm2'),
        // Its own metrics and version look-ups.
        PM2_DISABLE_VERSION_CHECK: 'true',
        BLITZBUY_ENV_FILE: homeFile('env'),
        ...env,
      },
    })
    if (code !== 0) throw new Error(`pm2 ${args.join(' ')} ended with ${code}:\n${output}\n${log()}`)
    return output
  }

  /** Should this run be killed, the next one ends what is written down here. */
  function note(processes: readonly Pm2Process[]): void {
    const record = createProcessRecord(homeFile(`pm2${RECORD_ENDING}`))
    record.add('pm2', Number(readFileSync(homeFile('pm2/pm2.pid'), 'utf8')))
    for (const { name, pid, healthPort } of processes) if (pid > 0) record.add(`${name}-${healthPort}`, pid)
  }

  async function list(): Promise<Pm2Process[]> {
    const output = await pm2(['jlist'])
    const entries = JSON.parse(output.slice(output.lastIndexOf('\n[') + 1)) as Pm2Entry[]
    const processes = entries.map(({ name, pid, pm2_env }) => ({
      name,
      pid,
      status: pm2_env.status,
      restarts: pm2_env.restart_time,
      healthPort: Number(pm2_env.HEALTH_PORT) + pm2_env.NODE_APP_INSTANCE,
    }))
    note(processes)
    return processes
  }

  /** What PM2 says about its processes. */
  const log = (): string => readFileSync(homeFile('pm2/pm2.log'), 'utf8')

  return {
    run: pm2,
    list,
    log,
    /** Ends everything, for who takes the host away before the tests are over. */
    end,
    /** What `pm2 save` has written down. */
    dump: () => readFileSync(homeFile('pm2/dump.pm2'), 'utf8'),
    /** What the processes of a role have printed. */
    printed: (role: string) => readFileSync(homeFile(`pm2/logs/${role}-out.log`), 'utf8'),
    /** The settings of this host: what its .env would hold. */
    writeSettings(settings: Record<string, string>): void {
      const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
      writeFileSync(homeFile('env'), `${lines.join('\n')}\n`, { mode: 0o600 })
    },
    /** `pm2 start ecosystem.config.cjs --only <role>`, the one line of docs/operations.md. */
    startRole: (role: string, env: Record<string, string> = {}) =>
      pm2(['start', 'ecosystem.config.cjs', '--only', role], env),
    /** Waits until a role has so many processes online, and nothing else of it. */
    async untilOnline(role: string, count: number): Promise<Pm2Process[]> {
      const ofRole = async () => (await list()).filter(({ name }) => name === role)
      await expect
        .poll(async () => (await ofRole()).map(({ status }) => status), { timeout: 60_000, interval: 200 })
        .toEqual(Array.from({ length: count }, () => 'online'))
      return ofRole()
    },
  }
}
