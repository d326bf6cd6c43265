import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import { afterAll, vi } from 'vitest'

import type { OwnStores } from '../packages/core/test/own-stores.ts'
import { findFreePort, isPortFree } from '../scripts/stores/ports.ts'
import { ownSecrets } from './own-secrets.ts'

export type PackageName = 'api' | 'order-worker' | 'stock-warmer'

/** One of BlitzBuy's processes, as it runs in production: from dist, with nothing but its environment. */
export interface RunningProcess {
  readonly origin: string
  readonly healthUrl: string
  readonly pid: number
  /** null while it runs, and when a signal ended it. */
  readonly exitCode: number | null
  /** What it has printed so far. */
  output(): string
  kill(signal: NodeJS.Signals): Promise<void>
  /** Starts it again with the same environment; resolves when it is ready. */
  restart(): Promise<void>
}

/** Later than any test takes: see test/load-shedding.test.ts for those who are refused. */
export const NEVER_SHED = {
  ANSWER_WITHIN_MS: '15000',
  SHED_BROWSING_DELAY_MS: '60000',
  SHED_LOGINS_DELAY_MS: '60000',
  SHED_PURCHASES_DELAY_MS: '60000',
}

/** Starts processes on a test file's own stores; whatever still runs is ended after the tests. */
export function useProcesses(stores: OwnStores, changes: Record<string, string> = {}) {
  const secrets = ownSecrets()
  const running: ChildProcess[] = []
  const takenPorts = new Set<number>()
  afterAll(async () => {
    await Promise.all(running.map((child) => end(child, 'SIGTERM')))
  })

  const freePort = async (): Promise<number> => {
    const port = await findFreePort(takenPorts)
    takenPorts.add(port)
    return port
  }

  /** The first of some ports that are free side by side. */
  const freePorts = async (count: number): Promise<number> => {
    for (;;) {
      const first = await freePort()
      const ports = Array.from({ length: count }, (_, at) => first + at)
      const areFree = await Promise.all(ports.slice(1).map(isPortFree))
      if (!areFree.every(Boolean)) continue
      ports.forEach((port) => takenPorts.add(port))
      return first
    }
  }

  /** What a process of the system is started with. */
  function environment(port: number, healthPort: number): Record<string, string> {
    return {
      PATH: process.env.PATH ?? '',
      NODE_ENV: 'test',
      LOG_LEVEL: 'info',
      MYSQL_URL: stores.mysqlUrl,
      REDIS_URL: stores.redisUrl,
      AMQP_URL: stores.amqpUrl,
      NAMESPACE: stores.namespace,
      PORT: String(port),
      HEALTH_PORT: String(healthPort),
      PUBLIC_ORIGIN: `http://127.0.0.1:${port}`,
      // Limits stay on: whoever plays many shoppers gives each an address of their own.
      TRUSTED_PROXIES: '127.0.0.1',
      // A machine that is busy with other tests is late by itself.
      ...NEVER_SHED,
      ...secrets,
      ...changes,
    }
  }

  async function start(name: PackageName, own: Record<string, string> = {}): Promise<RunningProcess> {
    const port = await freePort()
    const healthPort = await freePort()
    const env = { ...environment(port, healthPort), ...own }
    const origin = `http://127.0.0.1:${port}`
    const healthUrl = `http://127.0.0.1:${healthPort}`
    let output = ''
    let child = launch()

    function launch(): ChildProcess {
      const started = spawnProcess(name, env)
      for (const stream of [started.stdout, started.stderr]) {
        stream?.on('data', (chunk: Buffer) => {
          output += chunk.toString()
        })
      }
      running.push(started)
      return started
    }
    await answers(`${healthUrl}/livez`)

    return {
      origin,
      healthUrl,
      get pid() {
        return child.pid ?? -1
      },
      get exitCode() {
        return child.exitCode
      },
      output: () => output,
      kill: (signal) => end(child, signal),
      async restart() {
        child = launch()
        await answers(`${healthUrl}/readyz`)
      },
    }
  }

  return {
    secrets,
    environment,
    freePort,
    freePorts,
    start,
    startReady: async (name: PackageName, own?: Record<string, string>) => {
      const started = await start(name, own)
      await answers(`${started.healthUrl}/readyz`)
      return started
    },
  }
}

export function spawnProcess(name: PackageName, env: Record<string, string>): ChildProcess {
  const main = fileURLToPath(new URL(`../packages/${name}/dist/main.js`, import.meta.url))
  return spawn(process.execPath, ['--enable-source-maps', main], { env, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Waits until a URL answers 200. */
export async function answers(url: string): Promise<void> {
  await vi.waitFor(
    async () => {
      const { status } = await fetch(url)
      if (status !== 200) throw new Error(`${url} answers ${status}`)
    },
    { timeout: 60_000, interval: 50 },
  )
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  if (signal === 'SIGTERM' || signal === 'SIGKILL' || signal === 'SIGINT') await ended
}
