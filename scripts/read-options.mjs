import { parseArgs } from 'node:util'

import { StepFailed } from './steps.mjs'

/**
 * The options of one of our commands; a mistake is answered with all there are.
 *
 * @template {NonNullable<import('node:util').ParseArgsConfig['options']>} Options
 * @param {Options} options
 * @param {string} help
 * @returns {ReturnType<typeof parseArgs<{ args: string[], options: Options }>>['values']}
 */
export function readOptions(options, help) {
  const args = process.argv.slice(2)
  // pnpm, unlike npm, passes the dashes on.
  if (args[0] === '--') args.shift()
  try {
    return parseArgs({ args, options }).values
  } catch (error) {
    throw new StepFailed(`${/** @type {Error} */ (error).message}\n\n${help}`)
  }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} max
 */
export function wholeNumber(name, text, max) {
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= 1 && number <= max) return number
  throw new StepFailed(`--${name} must be a whole number from 1 to ${max}; it is "${text}".`)
}
