import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

import { lastLines } from '../run.mjs'
import { StepFailed } from '../steps.mjs'
import { endRecorded, isGone, signalProcess, type ProcessRecord } from './process-record.ts'
import type { Daemon, StoreRecipe } from './recipe.ts'
import { giveTo, makeOwnFolder } from './service-user.ts'
import type { Store } from './store.ts'

/** A broker on a busy machine takes its time. */
const READY_WITHIN_MS = 90_000

/** All stores are stopped at once, and together they have half of the ten seconds that a stop may take. */
const STOP_GRACE_MS = 4000

export interface LocalStore extends Store {
  readonly recipe: StoreRecipe
  stop(): Promise<void>
}

export function createLocalStore(
  recipe: StoreRecipe,
  record: ProcessRecord,
  signal: AbortSignal | undefined,
): LocalStore {
  const { daemon, companions } = recipe
  const runToEnd = (program: Daemon) => runRecorded(program, recipe, record, signal)

  const store: LocalStore = {
    recipe,
    url: recipe.url,
    get pid() {
      return record.alive(daemon.name)
    },
    isAlive: () => record.alive(daemon.name) !== undefined,

    async kill(name) {
      const pid = record.alive(daemon.name)
      if (pid === undefined) return
      signalProcess(pid, name)
      if (name !== 'SIGKILL' && name !== 'SIGTERM') return
      if (!(await isGone(record, daemon.name, 15_000))) throw new Error(`${recipe.title} outlived ${name}`)
    },

    async start() {
      // What an earlier start left running is taken over when it answers, and cleared when it does not.
      if (store.isAlive() && !(await recipe.isReady())) await store.stop()
      const logStart = sizeOf(recipe)
      if (!store.isAlive()) {
        makeOwnFolder(recipe.folder, recipe.user)
        await recipe.prepare(runToEnd)
        for (const program of [...companions, daemon]) {
          signal?.throwIfAborted()
          if (record.alive(program.name) === undefined) launch(program, recipe, record).unref()
        }
      }
      await untilReady(recipe, record, signal, logStart)
    },

    async stop() {
      for (const program of [daemon, ...companions.toReversed()]) {
        await endRecorded(record, program.name, STOP_GRACE_MS)
      }
    },
  }
  return store
}

/** Starts a program as the leader of its own session: a Ctrl-C at the terminal is for us to pass on, in order. */
function launch(
  { name, command, args, env }: Daemon,
  recipe: StoreRecipe,
  record: ProcessRecord,
): ChildProcess {
  const logFile = recipe.logFiles[0] as string
  const isNew = !existsSync(logFile)
  const log = openSync(logFile, 'a')
  if (isNew) giveTo(logFile, recipe.user)
  try {
    const child = spawn(command, args, {
      ...recipe.user,
      cwd: recipe.folder,
      env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LANG: 'C.UTF-8', ...env },
      detached: true,
      stdio: ['ignore', log, log],
    })
    // A daemon's death is noticed by its pid; without a listener a failure to start it would end us instead.
    child.on('error', () => {})
    if (child.pid !== undefined) record.add(name, child.pid)
    return child
  } finally {
    closeSync(log)
  }
}

/** Runs a program that is to end by itself, such as the one that makes the data folder. */
async function runRecorded(
  program: Daemon,
  recipe: StoreRecipe,
  record: ProcessRecord,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted()
  // One that a killed start left behind would write into the same folder.
  await endRecorded(record, program.name, 0)
  const logStart = sizeOf(recipe)
  const child = launch(program, recipe, record)
  const end = () => void endRecorded(record, program.name, 0)
  signal?.addEventListener('abort', end)
  const code = await new Promise<number | null>((resolve) => {
    child.on('error', () => resolve(null))
    child.on('exit', resolve)
  })
  signal?.removeEventListener('abort', end)
  record.remove(program.name)
  signal?.throwIfAborted()
  if (code !== 0) throw new StepFailed(`${program.command} failed. ${tail(recipe, logStart)}`)
}

async function untilReady(
  recipe: StoreRecipe,
  record: ProcessRecord,
  signal: AbortSignal | undefined,
  logStart: number,
): Promise<void> {
  const startedMs = performance.now()
  while (!(await recipe.isReady())) {
    signal?.throwIfAborted()
    if (record.alive(recipe.daemon.name) === undefined) {
      throw new StepFailed(`${recipe.title} ended while it was starting. ${tail(recipe, logStart)}`)
    }
    if (performance.now() - startedMs > READY_WITHIN_MS) {
      throw new StepFailed(
        `${recipe.title} did not answer within ${READY_WITHIN_MS / 1000} s. ${tail(recipe, logStart)}`,
      )
    }
    await sleep(50)
  }
}

/** The last lines of what it said since this start. */
function tail(recipe: StoreRecipe, logStart: number): string {
  const said = recipe.logFiles
    .filter((file) => existsSync(file))
    .map((file, index) => readFileSync(file, 'utf8').slice(index === 0 ? logStart : 0))
    .find((text) => text.trim() !== '')
  return said ? `Its last words (${recipe.logFiles[0]}):\n\n${lastLines(said)}` : 'It said nothing.'
}

function sizeOf({ logFiles }: StoreRecipe): number {
  return statSync(logFiles[0] as string, { throwIfNoEntry: false })?.size ?? 0
}
