import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { Interrupted } from '../interrupt.mjs'
import { build } from '../prepare.mjs'
import { describe, paint, StepFailed, type Steps } from '../steps.mjs'
import { findPortFrom } from '../stores/ports.ts'
import { createProcessRecord, endAllRecorded, killRecorded, RECORD_ENDING } from '../stores/process-record.ts'
import { createSettings } from '../stores/settings.ts'
import { killStores, startStores } from '../stores/start-stores.ts'
import type { Stores } from '../stores/store.ts'
import { fillStores, type DemoData } from './fill.ts'
import { planProcesses } from './process-plans.ts'
import { publishRunningEnvironment, removeRunningEnvironment } from './running-environment.ts'
import { createSupervisedProcess, type SupervisedProcess } from './supervised-process.ts'
import { watchStores } from './watch-stores.ts'

const PORT = 3000

export interface StartOptions {
  folder: string
  fresh: boolean
  /** Run the sources and follow their changes, instead of the build. */
  watch: boolean
  steps: Steps
  signal: AbortSignal
}

/**
 * Everything between the dependencies and the last Ctrl-C:
 *
 *   leftovers → stores → build → tables, demo data → processes → … → processes, stores
 *
 * Whatever fails on the way, or whoever asks to stop, what was started is ended in the opposite order.
 */
export async function startBlitzBuy(options: StartOptions): Promise<void> {
  const { folder, steps, signal } = options
  const record = createProcessRecord(join(folder, `processes${RECORD_ENDING}`))
  // The last resort: after a fault of ours, or a second Ctrl-C.
  process.on('exit', () => {
    killRecorded(record)
    killStores(folder)
    rmSync(addressFile(folder), { force: true })
    removeRunningEnvironment(folder)
  })
  const running: SupervisedProcess[] = []
  let stores: Stores | undefined
  let stopWatching = () => {}
  let isUp = false
  const { promise: givenUp, reject: giveUp } = withReject()

  try {
    const wantedPort = readPort()
    refuseFreshOnGiven(options.fresh)
    await clearLeftovers()
    stores = await steps.step('Stores', async (note) => {
      const { fresh } = options
      const started = await startStores({ folder, fresh, given: process.env, say: steps.say, signal })
      note(started.origin === 'local' ? `private ones, their data in ${folder}` : origins[started.origin])
      return started
    })
    // Also when the sources are run: browsers get what was built.
    await build(steps, signal)

    const port = await choosePort(wantedPort, steps)
    const address = `http://localhost:${port}`
    const env = processEnvironment(folder, stores, port, address)
    const demoData = await fill(env)
    for (const plan of await planProcesses(env, { watch: options.watch, port })) {
      running.push(createSupervisedProcess(plan, { record, say: steps.say, onGivenUp: giveUp }))
    }
    signal.throwIfAborted()
    await steps.step('Processes', async (note) => {
      for (const one of running) one.start()
      await Promise.all(running.map((one) => one.untilReady(signal)))
      note(running.map(({ name }) => name).join(', '))
    })
    stopWatching = watchStores(stores, steps.say, giveUp)
    writeFileSync(addressFile(folder), address)
    publishRunningEnvironment(folder, env)
    welcome(steps, address, demoData)
    isUp = true
    await Promise.race([givenUp, whenAborted(signal)])
  } catch (error) {
    // Being stopped is how a system that runs is meant to end.
    if (error instanceof Interrupted && isUp) return
    steps.say(`\n${describe(error)}\n`)
    throw error
  } finally {
    stopWatching()
    await stopAll()
  }

  async function clearLeftovers(): Promise<void> {
    const left = record.names().filter((name) => record.alive(name) !== undefined)
    if (left.length === 0) return
    await steps.step('Leftovers of a start that was killed', async (note) => {
      await endAllRecorded(record)
      note(`ended ${left.join(', ')}`)
    })
  }

  async function fill(env: NodeJS.ProcessEnv): Promise<DemoData | undefined> {
    const filling = fillStores(env, options.watch ? ['--conditions=blitzbuy-source'] : [], record)
    const interrupted = whenAborted(signal)
    await steps.step('Tables', () => Promise.race([filling.migrated, interrupted]))
    return steps.step('Demo data', async (note) => {
      const demoData = await Promise.race([filling.seeded, interrupted.then(() => undefined)])
      note(demoData ? `${demoData.salesAdded} sales added` : 'none in production')
      return demoData
    })
  }

  async function stopAll(): Promise<void> {
    if (running.length === 0 && stores === undefined) return endAllRecorded(record)
    await steps.step('Stopping', async (note) => {
      await Promise.all(running.map((one) => one.stop()))
      await endAllRecorded(record)
      await stores?.stop()
      note('everything that was started has ended')
    })
  }
}

const origins = {
  environment: 'the ones of MYSQL_URL, REDIS_URL and AMQP_URL',
  docker: 'containers, their data in volumes',
}

/** Where a second start finds the address of the first. */
export function addressFile(folder: string): string {
  return join(folder, 'address')
}

function refuseFreshOnGiven(fresh: boolean): void {
  const given = ['MYSQL_URL', 'REDIS_URL', 'AMQP_URL'].filter((name) => process.env[name])
  if (fresh && given.length > 0) {
    throw new StepFailed(
      `--fresh empties private stores only, and ${given.join(', ')} names one that is not ours.`,
    )
  }
}

function readPort(): number {
  const wanted = process.env.PORT ? Number(process.env.PORT) : PORT
  if (Number.isInteger(wanted) && wanted >= 1 && wanted <= 65_535) return wanted
  throw new StepFailed(`PORT must be a number from 1 to 65535; it is "${process.env.PORT}".`)
}

async function choosePort(wanted: number, steps: Steps): Promise<number> {
  const port = await findPortFrom(wanted, new Set())
  if (port !== wanted) steps.say(`  ${paint('yellow', '!')} port ${wanted} is busy; using ${port}`)
  return port
}

function processEnvironment(
  folder: string,
  stores: Stores,
  port: number,
  address: string,
): NodeJS.ProcessEnv {
  const settings = createSettings(join(folder, 'start.json'))
  return {
    NODE_ENV: 'development',
    LOG_LEVEL: 'info',
    HOST: '127.0.0.1',
    PUBLIC_ORIGIN: address,
    SESSION_SECRETS: settings.secret('session', 48),
    ORDER_ID_SECRETS: settings.secret('order-id', 48),
    // A load tool on this host plays many shoppers: it may give each an address of their own (X-Forwarded-For).
    TRUSTED_PROXIES: '127.0.0.1,::1',
    PURCHASE_TOKEN_SECRETS: settings.secret('purchase-token', 48),
    PAYMENT_PROVIDER: 'sandbox',
    PAYMENT_CALLBACK_SECRETS: settings.secret('payment-callback', 48),
    SECOND_FACTOR_SECRETS: settings.secret('second-factor', 48),
    ...process.env,
    PORT: String(port),
    MYSQL_URL: stores.mysqlUrl,
    REDIS_URL: stores.redisUrl,
    AMQP_URL: stores.amqpUrl,
  }
}

function welcome(steps: Steps, address: string, demoData: DemoData | undefined): void {
  steps.say()
  steps.say(`  BlitzBuy is at ${paint('bold', address)}`)
  for (const who of ['shopper', 'operator'] as const) {
    const login = demoData?.[who]
    if (login) steps.say(`  demo ${who.padEnd(9)} ${login.phone}  ${login.password}`)
  }
  if (demoData) {
    const { secret, uri, recoveryCode } = demoData.operator.secondFactor
    steps.say(`  operator pages: ${address}/admin, with a code from any app for one-time codes (TOTP)`)
    steps.say(`    key for the app  ${secret}`)
    steps.say(`    or as a link     ${uri}`)
    steps.say(`    without an app   ${recoveryCode}  (lets you in once; every start prints a new one)`)
  }
  steps.say('  Ctrl-C stops it; the data stays for the next start (--fresh starts empty).')
  steps.say()
}

function whenAborted(signal: AbortSignal): Promise<void> {
  const { promise, reject } = withReject()
  const abort = () => reject(signal.reason as Error)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  return promise
}

/** A promise that can only fail, and whose failure may come before anybody waits for it. */
function withReject(): { promise: Promise<void>; reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => {}
  const promise = new Promise<void>((_, rejectPromise) => {
    reject = rejectPromise
  })
  promise.catch(() => {})
  return { promise, reject }
}
