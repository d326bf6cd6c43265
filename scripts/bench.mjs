import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { Interrupted, watchForInterrupt } from './interrupt.mjs'
import { build, checkNode, prepare } from './prepare.mjs'
import { createSteps, describe, StepFailed } from './steps.mjs'

const NAMES = /** @type {const} */ ([
  'bare',
  'sold-out',
  'buy',
  'buy-cold',
  'buy-placing',
  'browse',
  'redlock',
  'for-update',
  'message-each',
])

const HELP = `pnpm bench [options]

  Measures the purchase on this machine, on private stores that are gone afterwards: a bare Fastify route, purchases
  of several kinds and the ways of the textbook in turn, so that their ratios say something although the machine is
  like no other. Then it checks that no order and no unit was lost or invented; it fails if one was, or if an answer
  was not the one it should be.

  --quick            one short round with few connections: about the invariants, not the figures
  --scenario NAME    only this one, beside bare; may be given more than once:
                     ${NAMES.slice(1).join(', ')}
  --seconds N        about how long one round of one scenario takes, 1 to 60 (3)
  --rounds N         how often each scenario is measured, 1 to 20 (3)
  --connections N    shoppers who wait for an answer at the same time, 1 to 10000 (2000)
  --report FOLDER    writes report.md, report.json and pictures there
  --profile DIR      a CPU profile of the api, for Chrome's DevTools; it slows the api down
  --help             this text
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
  const { help, quick, report, profile, scenario: names, ...texts } = parse(args)
  if (help) return undefined
  const unknown = names.find((name) => !NAMES.some((known) => known === name))
  if (unknown !== undefined) {
    throw new StepFailed(`--scenario ${unknown}: there is none of this name, only ${NAMES.join(', ')}.`)
  }
  return {
    seconds: wholeNumber('seconds', texts.seconds ?? (quick ? '1' : '3'), 60),
    rounds: wholeNumber('rounds', texts.rounds ?? (quick ? '1' : '3'), 20),
    connections: wholeNumber('connections', texts.connections ?? (quick ? '100' : '2000'), 10_000),
    isQuick: quick,
    crowd: quick ? 2_000 : 20_000,
    scenarios: NAMES.filter((name) => name === 'bare' || names.length === 0 || names.includes(name)),
    reportFolder: report === undefined ? undefined : resolve(report),
    profileFolder: profile === undefined ? undefined : resolve(profile),
  }
}

/** @param {string[]} args */
function parse(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        quick: { type: 'boolean', default: false },
        scenario: { type: 'string', multiple: true, default: [] },
        seconds: { type: 'string' },
        rounds: { type: 'string' },
        connections: { type: 'string' },
        report: { type: 'string' },
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
