import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { Interrupted, watchForInterrupt } from './interrupt.mjs'
import { build, checkNode, prepare } from './prepare.mjs'
import { createSteps, describe, StepFailed } from './steps.mjs'

const HELP = `pnpm bench [options]

  Measures the purchase on this machine, on private stores that are gone afterwards: a bare Fastify route, a
  purchase and a refused purchase in turn, so that their ratios say something although the machine is like no other.
  Then it checks that no order and no unit was lost or invented.

  --seconds N      about how long one round of one scenario takes, 1 to 60 (5)
  --rounds N       how often each scenario is measured, 1 to 20 (3)
  --connections N  shoppers who wait for an answer at the same time, 1 to 2000 (500)
  --json FILE      the figures of every round, for a machine
  --profile DIR    a CPU profile of the api, for Chrome's DevTools; it slows the api down
  --help           this text
`

/*
 * `pnpm bench`: only Node's own modules may be imported here, the rest may not be there yet.
 */
const steps = createSteps()
const signal = watchForInterrupt()
try {
  const options = readOptions()
  if (options === undefined) {
    steps.say(HELP)
  } else {
    checkNode()
    await prepare(steps, signal)
    // Before the import: the bench itself reads and fills the stores through the built core.
    await build(steps, signal)
    const { register } = await import('tsx/esm/api')
    register()
    const { runBench } = await import('../bench/run-bench.ts')
    process.exitCode = (await runBench({ ...options, steps, signal })) ? 0 : 1
  }
} catch (error) {
  steps.say(`\n${describe(error)}`)
  process.exitCode = error instanceof Interrupted ? 130 : 1
}
// Nothing that is still open may keep a finished run from ending.
process.exit()

function readOptions() {
  const args = process.argv.slice(2)
  // pnpm, unlike npm, passes the dashes on.
  if (args[0] === '--') args.shift()
  const { help, json, profile, ...texts } = parse(args)
  if (help) return undefined
  return {
    seconds: wholeNumber('seconds', texts.seconds, 60),
    rounds: wholeNumber('rounds', texts.rounds, 20),
    connections: wholeNumber('connections', texts.connections, 2000),
    jsonFile: json === undefined ? undefined : resolve(json),
    profileFolder: profile === undefined ? undefined : resolve(profile),
  }
}

/** @param {string[]} args */
function parse(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        seconds: { type: 'string', default: '5' },
        rounds: { type: 'string', default: '3' },
        connections: { type: 'string', default: '500' },
        json: { type: 'string' },
        profile: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    })
    return values
  } catch (error) {
    throw new StepFailed(`${/** @type {Error} */ (error).message}\n\n${HELP}`)
  }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} max
 */
function wholeNumber(name, text, max) {
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= 1 && number <= max) return number
  throw new StepFailed(`--${name} must be a whole number from 1 to ${max}; it is "${text}".`)
}
