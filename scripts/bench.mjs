import { resolve } from 'node:path'

import { COMPARED, STUDIES } from '../bench/scenario-names.mjs'
import { Interrupted, watchForInterrupt } from './interrupt.mjs'
import { build, checkNode, prepare } from './prepare.mjs'
import { readOptions, wholeNumber } from './read-options.mjs'
import { createSteps, describe, StepFailed } from './steps.mjs'

const HELP = `pnpm bench [options]

  Measures the purchase on this machine, on private stores that are gone afterwards: a bare Fastify route, purchases
  of several kinds and the ways of the textbook in turn, so that their ratios say something although the machine is
  like no other; a rush for few units; what the gate costs; a storm of logins beside
  purchases; people from the page to the payment; what a purchase costs
  while processes, connections, sales and holders grow; and ten times the people it can serve. Then it checks that no
  order and no unit was lost or invented; it fails if one was, or if an answer was not the one it should be. All of it
  takes up to a quarter of an hour.

  --quick            one short round with few connections: about the invariants, not the figures; about a minute
  --scenario NAME    only this one; may be given more than once. Each next to bare:
                     ${COMPARED.slice(1).join(', ')}, scarce;
                     each by itself: gate, storm, journey, scale, overload
  --seconds N        about how long one round of one compared scenario takes, 1 to 60 (3)
  --rounds N         how often each is measured, 1 to 20 (3); a point of scale twice at most
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
  const options = chooseOptions()
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

function chooseOptions() {
  const {
    help,
    quick,
    report,
    profile,
    scenario: names,
    ...texts
  } = readOptions(
    {
      quick: { type: 'boolean', default: false },
      scenario: { type: 'string', multiple: true, default: [] },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      connections: { type: 'string' },
      report: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
    HELP,
  )
  if (help) return undefined
  const known = [...COMPARED, ...STUDIES]
  const unknown = names.find((name) => !known.some((one) => one === name))
  if (unknown !== undefined) {
    throw new StepFailed(`--scenario ${unknown}: there is none of this name, only ${known.join(', ')}.`)
  }
  const isWanted = (/** @type {string} */ name) => names.length === 0 || names.includes(name)
  const studies = STUDIES.filter(isWanted)
  const compared = COMPARED.filter(isWanted)
  const needsBare = compared.length > 0 || studies.includes('scarce')
  return {
    seconds: wholeNumber('seconds', texts.seconds ?? (quick ? '1' : '3'), 60),
    rounds: wholeNumber('rounds', texts.rounds ?? (quick ? '1' : '3'), 20),
    connections: wholeNumber('connections', texts.connections ?? (quick ? '100' : '2000'), 10_000),
    isQuick: quick,
    scenarios: COMPARED.filter((name) => compared.includes(name) || (needsBare && name === 'bare')),
    studies,
    command: ['pnpm bench', ...process.argv.slice(2)].join(' '),
    reportFolder: report === undefined ? undefined : resolve(report),
    profileFolder: profile === undefined ? undefined : resolve(profile),
  }
}
