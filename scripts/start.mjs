import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import util from 'node:util'

import { Interrupted, watchForInterrupt } from './interrupt.mjs'
import { tryLock } from './lock.mjs'
import { checkNode, home, prepare } from './prepare.mjs'
import { createSteps, describe, StepFailed } from './steps.mjs'

const HELP = `npm start [-- options]

  Starts BlitzBuy on this machine: its stores, one api, one order-worker and one stock-warmer.

  --fresh   without the data of earlier starts
  --watch   from the sources, started again when one changes (the same as: pnpm dev)
  --help    this text

  PORT           the page's port, 3000 unless set
  MYSQL_URL, REDIS_URL, AMQP_URL   stores that run already; without them private ones are started
  BLITZBUY_HOME  where data and secrets are kept, .blitzbuy unless set
`

/*
 * `npm start`: only Node's own modules may be imported here, the rest is not there yet.
 */
const steps = createSteps()
const signal = watchForInterrupt()
const folder = join(home, 'start')
let tellsItself = false
try {
  checkNode()
  const options = readOptions()
  if (options.help) {
    steps.say(HELP)
  } else {
    refuseSecondStart()
    await prepare(steps, signal)
    const { register } = await import('tsx/esm/api')
    register()
    const { startBlitzBuy } = await import('./start/start-blitzbuy.ts')
    tellsItself = true
    await startBlitzBuy({ folder, ...options, steps, signal })
  }
} catch (error) {
  if (!tellsItself) steps.say(`\n${describe(error)}`)
  process.exitCode = error instanceof Interrupted ? 130 : 1
}
// Nothing that is still open may keep a stopped system from ending.
process.exit()

function readOptions() {
  try {
    const { values } = util.parseArgs({
      options: {
        fresh: { type: 'boolean', default: false },
        watch: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    return values
  } catch (error) {
    throw new StepFailed(`${/** @type {Error} */ (error).message}\n\n${HELP}`)
  }
}

function refuseSecondStart() {
  const outcome = tryLock(join(folder, 'supervisor.lock'))
  if (outcome.kind === 'taken') return
  const file = join(folder, 'address')
  const where = existsSync(file) ? `at ${readFileSync(file, 'utf8')}` : 'and is not ready yet'
  throw new StepFailed(`BlitzBuy runs already (process ${outcome.pid}) ${where}. Stop it first.`)
}
