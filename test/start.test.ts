import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'

import mysql from 'mysql2/promise'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'

import { identify } from '../scripts/process-identity.mjs'
import { root } from '../scripts/prepare.mjs'
import { findFreePort } from '../scripts/stores/ports.ts'
import { makeTemporaryFolder, type TemporaryFolder } from '../scripts/stores/temporary-folder.ts'

/** The real command on a folder of its own; the tests go on with what the one before has left there. */
describe('npm start', () => {
  let folder: TemporaryFolder
  let port: number
  const started: Start[] = []

  beforeAll(async () => {
    folder = await makeTemporaryFolder()
    port = await findFreePort(new Set())
  })
  afterEach(async () => {
    for (const start of started.splice(0)) await start.end('SIGTERM')
  })
  afterAll(() => folder.remove())

  const start = () => {
    const one = runStart({ BLITZBUY_HOME: folder.path, PORT: String(port) })
    started.push(one)
    return one
  }

  it('serves the page from an empty folder, and a Ctrl-C ends all it started within ten seconds', async () => {
    const first = start()
    expect(await first.untilUp()).toBe(`http://localhost:${port}`)
    expect((await fetch(`http://localhost:${port}/`)).status).toBe(200)
    await leaveMark(folder.path)
    const processes = recorded(folder.path)
    expect(Object.keys(processes).toSorted()).toEqual([
      'api',
      'epmd',
      'mysql',
      'order-worker',
      'rabbitmq',
      'redis',
      'stock-warmer',
    ])

    const stoppedMs = performance.now()
    await first.end('SIGINT')

    expect(performance.now() - stoppedMs).toBeLessThan(10_000)
    expect(first.exitCode()).toBe(0)
    expect(survivors(processes)).toEqual([])
  })

  it('goes on with the kept data in under 20 s, on the next free port when its own is busy', async () => {
    const occupant = createServer().listen(port, '127.0.0.1')
    await once(occupant, 'listening')
    try {
      const startedMs = performance.now()
      const second = start()
      const address = await second.untilUp()

      expect(performance.now() - startedMs).toBeLessThan(20_000)
      expect(address).not.toBe(`http://localhost:${port}`)
      expect(second.output()).toContain(`port ${port} is busy`)
      expect((await fetch(address)).status).toBe(200)
      expect(await countMarks(folder.path)).toBe(1)

      const another = start()
      await another.ended
      expect(another.exitCode()).toBe(1)
      expect(another.output()).toContain(`runs already (process ${second.pid}) at ${address}`)
    } finally {
      occupant.close()
    }
  })

  it('takes over after its own kill -9, and starts a process again that was killed', async () => {
    const killed = start()
    await killed.untilUp()
    const left = recorded(folder.path)
    await killed.end('SIGKILL')
    expect(survivors(left)).toContain('mysql')

    const next = start()
    const address = await next.untilUp()
    const taken = recorded(folder.path)
    expect(taken.mysql).toEqual(left.mysql)
    expect(survivors({ api: left.api as Recorded })).toEqual([])
    expect(await countMarks(folder.path)).toBe(1)

    const api = taken.api as Recorded
    process.kill(api.pid, 'SIGKILL')
    await vi.waitFor(() => expect(recorded(folder.path).api?.pid).not.toBe(api.pid), { timeout: 10_000 })
    await vi.waitFor(async () => expect((await fetch(address)).status).toBe(200), { timeout: 10_000 })

    const all = recorded(folder.path)
    await next.end('SIGTERM')
    expect(survivors({ ...left, ...taken, ...all })).toEqual([])
  })
})

interface Start {
  pid: number
  output(): string
  exitCode(): number | null
  ended: Promise<unknown>
  /** Resolves with the address when it is up. */
  untilUp(): Promise<string>
  end(signal: NodeJS.Signals): Promise<void>
}

function runStart(settings: Record<string, string>): Start {
  const env: NodeJS.ProcessEnv = { ...process.env, ...settings }
  for (const name of ['MYSQL_URL', 'REDIS_URL', 'AMQP_URL', 'NODE_ENV', 'NODE_OPTIONS']) delete env[name]
  const child: ChildProcess = spawn(process.execPath, [join(root, 'scripts', 'start.mjs')], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += String(chunk)))
  const ended = once(child, 'close')
  return {
    pid: child.pid as number,
    output: () => output,
    exitCode: () => child.exitCode,
    ended,
    untilUp: () =>
      vi.waitFor(
        () => {
          const address = /BlitzBuy is at (\S+)/.exec(output)?.[1]
          if (address === undefined) throw new Error(`it is not up:\n${output}`)
          return address
        },
        { timeout: 60_000, interval: 50 },
      ),
    async end(signal) {
      child.kill(signal)
      await ended
    },
  }
}

interface Recorded {
  pid: number
  identity: string
}

/** Everything a start has written down as running. */
function recorded(folder: string): Record<string, Recorded> {
  const read = (name: string) =>
    JSON.parse(readFileSync(join(folder, 'start', name), 'utf8')) as Record<string, Recorded>
  return { ...read('processes.running.json'), ...read('stores.running.json') }
}

function survivors(processes: Record<string, Recorded>): string[] {
  return Object.keys(processes).filter((name) => {
    const { pid, identity } = processes[name] as Recorded
    return identify(pid) === identity
  })
}

async function leaveMark(folder: string): Promise<void> {
  await query(folder, 'CREATE TABLE start_mark (id INT PRIMARY KEY)')
  await query(folder, 'INSERT INTO start_mark VALUES (1)')
}

async function countMarks(folder: string): Promise<number> {
  const rows = (await query(folder, 'SELECT id FROM start_mark')) as unknown[]
  return rows.length
}

async function query(folder: string, statement: string): Promise<unknown> {
  const kept = JSON.parse(readFileSync(join(folder, 'start', 'stores.json'), 'utf8')) as {
    secrets: { mysql: string }
    ports: { mysql: number }
  }
  const connection = await mysql.createConnection(
    `mysql://blitzbuy:${kept.secrets.mysql}@127.0.0.1:${kept.ports.mysql}/blitzbuy`,
  )
  try {
    const [rows] = await connection.query(statement)
    return rows
  } finally {
    await connection.end()
  }
}
