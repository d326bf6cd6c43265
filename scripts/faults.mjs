import { Interrupted, watchForInterrupt } from './interrupt.mjs'
import { build, checkNode, prepare } from './prepare.mjs'
import { readOptions, wholeNumber } from './read-options.mjs'
import { createSteps, describe, StepFailed } from './steps.mjs'

const HELP = `pnpm faults [options]

  Breaks BlitzBuy on private stores that are gone afterwards: several processes of each kind are killed, stopped and
  cut off, stores too, while shoppers buy, pay and cancel. An auditor reads the stores all along and once everything
  is at rest. Without an option all rows but the long ones are run one after the other: about half an hour.

  --row NAME       only this row; may be given several times
  --list           the rows
  --runs N         how often each row is run, 1 to 100 (1)
  --seconds N      random faults for that long instead, 1 to 36000
  --seed N         the same faults as the run that printed it; one at random unless given
  --no-report      leave docs/reliability.md as it is
  --help           this text
`

/*
 * `pnpm faults`: only Node's own modules may be imported here, the rest may not be there yet.
 */
const steps = createSteps()
const signal = watchForInterrupt()
try {
  const options = chooseOptions()
  if (options.help) {
    steps.say(HELP)
  } else {
    checkNode()
    await prepare(steps, signal)
    // Before the import: the suite itself reads and fills the stores through the built core.
    await build(steps, signal)
    const { register } = await import('tsx/esm/api')
    register()
    const { listRows, runFaults } = await import('../test/faults/run-faults.ts')
    const { allRows } = await import('../test/faults/rows/all-rows.ts')
    const unknown = options.rows.filter((name) => !allRows.some((row) => row.name === name))
    if (unknown.length > 0) {
      throw new StepFailed(`There is no row ${unknown.join(', ')}. The rows:\n\n${listRows().join('\n')}`)
    }
    if (options.list) steps.say(listRows().join('\n'))
    else process.exitCode = (await runFaults({ ...options, steps, signal })) ? 0 : 1
  }
} catch (error) {
  steps.say(`\n${describe(error)}`)
  process.exitCode = error instanceof Interrupted ? 130 : 1
}
// Nothing that is still open may keep a finished run from ending.
process.exit()

function chooseOptions() {
  const values = readOptions(
    {
      row: { type: 'string', multiple: true, default: [] },
      list: { type: 'boolean', default: false },
      runs: { type: 'string', default: '1' },
      seconds: { type: 'string' },
      seed: { type: 'string' },
      'no-report': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
    HELP,
  )
  return {
    help: values.help,
    list: values.list,
    report: !values['no-report'],
    rows: values.row,
    runs: wholeNumber('runs', values.runs, 100),
    seconds: values.seconds === undefined ? undefined : wholeNumber('seconds', values.seconds, 36_000),
    seed:
      values.seed === undefined
        ? Math.floor(Math.random() * 1_000_000) + 1
        : wholeNumber('seed', values.seed, 2 ** 31 - 1),
  }
}
