import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

import { identify } from './process-identity.mjs'
import { StepFailed } from './steps.mjs'

/** What a group may still do after a SIGTERM: a `npm start` inside a test has stores to end. */
const GRACE_MS = 9000

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {AbortSignal | undefined} [signal] ends the command and all it started
 * @property {string} [pidFile] where to write down that it runs, for whoever comes after a kill -9 of ours
 * @property {boolean} [shown] its output goes to our own terminal instead of being kept
 */

/**
 * Runs a command to its end and gives its exit code and its output.
 *
 * It leads a process group of its own, so that stopping us ends its children too, in our order and not in the
 * terminal's.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<{ code: number, output: string }>}
 */
export async function run(command, args, { cwd, env, signal, pidFile, shown = false } = {}) {
  signal?.throwIfAborted()
  const child = spawn(command, args, {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', shown ? 'inherit' : 'pipe', shown ? 'inherit' : 'pipe'],
  })
  if (pidFile && child.pid !== undefined) writeFileSync(pidFile, `${child.pid} ${identify(child.pid)}`)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk) => (output += chunk))
  }
  /** @type {Promise<void> | undefined} */
  let ending
  const end = () => {
    if (child.pid !== undefined) ending = endGroup(child.pid)
  }
  const killAtExit = () => {
    if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL')
  }
  process.on('exit', killAtExit)
  signal?.addEventListener('abort', end)
  try {
    const code = await new Promise((resolve, reject) => {
      child.on('error', (error) => reject(new StepFailed(`${command} cannot be run: ${error.message}`)))
      child.on('close', (status, by) => resolve(status ?? (by === null ? 1 : 128)))
    })
    await ending
    signal?.throwIfAborted()
    return { code, output }
  } finally {
    signal?.removeEventListener('abort', end)
    process.off('exit', killAtExit)
    if (pidFile) rmSync(pidFile, { force: true })
  }
}

/**
 * Like `run`, but a failure is an error that shows the last lines of what the command said.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<string>}
 */
export async function runOrFail(command, args, options) {
  const { code, output } = await run(command, args, options)
  if (code !== 0) {
    throw new StepFailed(
      `\`${[command, ...args].join(' ')}\` ended with status ${code}:\n\n${lastLines(output)}`,
    )
  }
  return output
}

/**
 * Ends what a killed process of ours had been running.
 *
 * @param {string} pidFile
 */
export async function endOrphan(pidFile) {
  if (!existsSync(pidFile)) return
  const [pid, ...identity] = readFileSync(pidFile, 'utf8').split(' ')
  if (identify(Number(pid)) === identity.join(' ')) await endGroup(Number(pid))
  rmSync(pidFile, { force: true })
}

/**
 * @param {string} text
 * @param {number} [count]
 */
export function lastLines(text, count = 25) {
  const lines = text.trimEnd().split('\n').slice(-count)
  return lines.map((line) => `    ${line}`).join('\n')
}

/**
 * @param {number} pid the group's leader
 */
async function endGroup(pid) {
  const deadlineMs = performance.now() + GRACE_MS
  for (let signal = /** @type {NodeJS.Signals | 0} */ ('SIGTERM'); signalGroup(pid, signal); signal = 0) {
    if (performance.now() > deadlineMs) {
      signalGroup(pid, 'SIGKILL')
      return
    }
    await sleep(50)
  }
}

/**
 * @param {number} pid
 * @param {NodeJS.Signals | 0} signal
 * @returns {boolean} whether anybody of the group was there to get it
 */
function signalGroup(pid, signal) {
  try {
    return process.kill(-pid, signal)
  } catch {
    return false
  }
}
