import { performance } from 'node:perf_hooks'

/**
 * @typedef {object} Steps
 * @property {(line?: string) => void} say one line of text
 * @property {<T>(title: string, work: (note: (text: string) => void) => Promise<T>) => Promise<T>} step
 *   runs one step and prints what it did and how long it took; `note` says what came of it
 */

/** A step that failed, in words for the person who started us: no stack trace is needed. */
export class StepFailed extends Error {
  /**
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(message, options) {
    super(message, options)
    this.name = 'StepFailed'
  }
}

/**
 * What went wrong: a failed step speaks for itself, anything else is a fault of ours and shows where.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function describe(error) {
  if (!(error instanceof Error)) return String(error)
  const speaksForItself = error.name === 'StepFailed' || error.name === 'Interrupted'
  return speaksForItself ? error.message : (error.stack ?? error.message)
}

const colours = { dim: 2, red: 31, green: 32, yellow: 33, bold: 1 }

/**
 * Colours only where a person looks at a terminal.
 *
 * @param {keyof typeof colours} colour
 * @param {string} text
 */
export function paint(colour, text) {
  return hasColours() ? `\u001B[${colours[colour]}m${text}\u001B[0m` : text
}

export function hasColours() {
  return process.stdout.isTTY === true && !process.env.NO_COLOR
}

/** @param {number} sinceMs a reading of performance.now() */
export function took(sinceMs) {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`
}

/** @returns {Steps} */
export function createSteps() {
  // A reader that went away (`npm start | head`, a closed terminal) must not take the stores down with it.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

  const rewrites = process.stdout.isTTY === true
  /** @type {string | undefined} */
  let open

  /** @param {string} [line] */
  const say = (line = '') => {
    if (rewrites && open !== undefined) {
      process.stdout.write(`\r\u001B[K${line}\n${open}`)
    } else {
      process.stdout.write(`${line}\n`)
    }
  }

  return {
    say,
    async step(title, work) {
      const startedMs = performance.now()
      const pending = `  ${paint('dim', '·')} ${title} …`
      // On a terminal the line is there at once and rewritten; in a log only when there is something to wait for.
      const announce = setTimeout(() => !rewrites && say(pending), 1000)
      if (rewrites) {
        open = pending
        process.stdout.write(pending)
      }
      /** @param {string} line */
      const close = (line) => {
        clearTimeout(announce)
        open = undefined
        process.stdout.write(`${rewrites ? '\r\u001B[K' : ''}${line}\n`)
      }
      let detail = ''
      try {
        const result = await work((text) => {
          detail = text
        })
        const label = detail === '' ? title : `${title}: ${detail}`
        close(`  ${paint('green', '✓')} ${label} ${paint('dim', `(${took(startedMs)})`)}`)
        return result
      } catch (error) {
        close(`  ${paint('red', '✗')} ${title} ${paint('dim', `(${took(startedMs)})`)}`)
        throw error
      }
    },
  }
}
