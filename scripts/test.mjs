import { Interrupted, watchForInterrupt } from './interrupt.mjs'
import { checkNode, prepare } from './prepare.mjs'
import { createSteps, describe } from './steps.mjs'

/*
 * `npm test [-- filter…]`: prepares the checkout, then checks and tests everything, or, with a filter, what
 * vitest finds by it. Only Node's own modules may be imported here: the rest is not there yet.
 */
const steps = createSteps()
const signal = watchForInterrupt()
try {
  checkNode()
  await prepare(steps, signal)
  const { register } = await import('tsx/esm/api')
  register()
  const { runTests } = await import('./test/run-tests.ts')
  process.exitCode = await runTests({ filter: process.argv.slice(2), steps, signal })
} catch (error) {
  steps.say(`\n${describe(error)}`)
  process.exitCode = error instanceof Interrupted ? 130 : 1
}
// Nothing that is still open may keep a finished run from ending.
process.exit()
