import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

import { waitForLock } from './lock.mjs'
import { endOrphan, runOrFail } from './run.mjs'
import { StepFailed } from './steps.mjs'

/** @typedef {import('./steps.mjs').Steps} Steps */

const OLDEST_NODE = [20, 19]

/** The checkout. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/** Where everything lives that is made by running: tools, the stores' data, secrets. */
export const home = resolve(process.env.BLITZBUY_HOME ?? join(root, '.blitzbuy'))

/** Tools and locks belong to the checkout, whatever home says: they guard its node_modules and dist. */
const toolsFolder = join(root, '.blitzbuy', 'tools')
const lockFile = join(root, '.blitzbuy', 'prepare.lock')
const pidFile = join(root, '.blitzbuy', 'prepare.running')

/** Throws, in words, on a Node that cannot run what follows. */
export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw new StepFailed(
      `BlitzBuy needs Node ${OLDEST_NODE.join('.')} or newer; this is ${process.versions.node}.`,
    )
  }
}

/**
 * Sees to pnpm and the dependencies. After this node_modules can be imported from.
 *
 * @param {Steps} steps
 * @param {AbortSignal} [signal]
 */
export async function prepare(steps, signal) {
  // turbo looks pnpm up on PATH, in this process's children too.
  process.env.TURBO_TELEMETRY_DISABLED = '1'
  process.env.TURBO_NO_UPDATE_NOTIFIER = '1'
  await underLock(steps, signal, async () => {
    const pnpm = await steps.step('pnpm', (note) => findPnpm(note, signal))
    process.env.PATH = `${dirname(pnpm)}${delimiter}${process.env.PATH ?? ''}`
    await steps.step('Dependencies', (note) => installDependencies(pnpm, note, signal))
  })
}

/**
 * Builds packages/*\/dist, unless nothing changed since the last build.
 *
 * turbo would not compile again either, but it does write its cached files over dist, and a process that starts
 * at that moment can read half a file.
 *
 * @param {Steps} steps
 * @param {AbortSignal} [signal]
 */
export async function build(steps, signal) {
  await underLock(steps, signal, () =>
    steps.step('Build', async (note) => {
      const stamp = join(root, 'node_modules', '.blitzbuy-built')
      if (isStamped(stamp, buildState())) {
        note('nothing has changed')
        return
      }
      const turbo = join(root, 'node_modules', '.bin', 'turbo')
      await runOrFail(turbo, ['run', 'build', '--output-logs=errors-only'], { cwd: root, signal, pidFile })
      writeFileSync(stamp, buildState())
      note('packages/*/dist')
    }),
  )
}

/**
 * `npm start` and `npm test` may run at the same time and share node_modules and dist.
 *
 * @param {Steps} steps
 * @param {AbortSignal | undefined} signal
 * @param {() => Promise<void>} work
 */
async function underLock(steps, signal, work) {
  const onWait = (/** @type {number} */ pid) =>
    steps.say(`  · waiting for another preparation (process ${pid}) …`)
  const release = await waitForLock(lockFile, signal ? { onWait, signal } : { onWait })
  try {
    // One that a killed start left installing would write into the same folders.
    await endOrphan(pidFile)
    await work()
  } finally {
    release()
  }
}

/**
 * @param {(text: string) => void} note
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<string>} the path of a pnpm of exactly the version that package.json names
 */
async function findPnpm(note, signal) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const version = /^pnpm@(\d[^+]*)/.exec(packageManager)?.[1]
  if (version === undefined) throw new StepFailed(`package.json names no pnpm version: ${packageManager}`)

  const ownPnpm = join(toolsFolder, 'node_modules', '.bin', 'pnpm')
  const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'pnpm'))
  const found = [ownPnpm, ...onPath].find((file) => versionOf(file) === version)
  if (found) {
    note(`${version}, ${found === ownPnpm ? 'kept in .blitzbuy/tools' : found}`)
    return found
  }
  mkdirSync(toolsFolder, { recursive: true })
  const args = [
    'install',
    '--prefix',
    toolsFolder,
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    `pnpm@${version}`,
  ]
  await runOrFail('npm', args, { cwd: toolsFolder, signal, pidFile })
  note(`${version}, installed into .blitzbuy/tools`)
  return ownPnpm
}

/**
 * The version of the package a command belongs to, read from its package.json: asking the command itself costs
 * half a second, and a pnpm of another version would answer by fetching the one the project names.
 *
 * @param {string} command
 * @returns {string | undefined}
 */
function versionOf(command) {
  if (!existsSync(command)) return undefined
  const manifest = join(dirname(realpathSync(command)), '..', 'package.json')
  if (!existsSync(manifest)) return undefined
  const { name, version } = JSON.parse(readFileSync(manifest, 'utf8'))
  return name === 'pnpm' ? version : undefined
}

/**
 * @param {string} pnpm
 * @param {(text: string) => void} note
 * @param {AbortSignal | undefined} signal
 */
async function installDependencies(pnpm, note, signal) {
  const stamp = join(root, 'node_modules', '.blitzbuy-installed')
  const wanted = hashOf(manifests())
  if (isStamped(stamp, wanted)) {
    note('nothing has changed')
    return
  }
  // CI: without a terminal pnpm would wait for an answer before it replaces a node_modules of another layout.
  const env = { ...process.env, CI: 'true' }
  await runOrFail(pnpm, ['install', '--frozen-lockfile', '--prod=false'], { cwd: root, env, signal, pidFile })
  writeFileSync(stamp, wanted)
  note('as the lock file says')
}

/** The files that decide what node_modules holds. */
function manifests() {
  const packages = readdirSync(join(root, 'packages')).map((name) => join('packages', name, 'package.json'))
  return ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json', ...packages].filter((file) =>
    existsSync(join(root, file)),
  )
}

/** What went into the build, by content, and what came out of it, by time and size. */
function buildState() {
  const sources = ['tsconfig.base.json', ...manifests()]
  const outcome = []
  for (const name of readdirSync(join(root, 'packages'))) {
    const folder = join('packages', name)
    sources.push(join(folder, 'tsconfig.json'), join(folder, 'build-assets.mjs'))
    for (const part of ['src', 'client', 'styles']) sources.push(...filesBelow(join(folder, part)))
    const built = filesBelow(join(folder, 'dist'))
    if (built.length === 0) outcome.push(`${folder}: not built`)
    for (const file of built) {
      const { size, mtimeMs } = statSync(join(root, file))
      outcome.push(`${file} ${size} ${mtimeMs}`)
    }
  }
  const present = sources.filter((file) => existsSync(join(root, file)))
  return `${hashOf(present)} ${createHash('sha256').update(outcome.join('\n')).digest('hex')}`
}

/**
 * @param {string} folder
 * @returns {string[]}
 */
function filesBelow(folder) {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .toSorted()
}

/**
 * @param {string[]} files
 * @returns {string}
 */
function hashOf(files) {
  const hash = createHash('sha256').update(process.platform + process.arch)
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(join(root, file)))
  return hash.digest('hex')
}

/**
 * @param {string} stamp
 * @param {string} wanted
 */
function isStamped(stamp, wanted) {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted
}
