import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { identify } from '../process-identity.mjs'

/** What another command needs in order to work on the system that a start runs. */
const NAMES = [
  'NODE_ENV',
  'MYSQL_URL',
  'REDIS_URL',
  'AMQP_URL',
  'NAMESPACE',
  'PUBLIC_ORIGIN',
  'SESSION_SECRETS',
  'ORDER_ID_SECRETS',
  'PURCHASE_TOKEN_SECRETS',
] as const

type RunningEnvironment = Partial<Record<(typeof NAMES)[number], string>>

interface Content {
  pid: number
  /** Tells the start from a later process with its pid: a killed one leaves the file behind. */
  identity: string | undefined
  environment: RunningEnvironment
}

/** Lets other commands of the same person find this process's system; only its owner can read the secrets. */
export function publishRunningEnvironment(folder: string, env: NodeJS.ProcessEnv): void {
  const environment = Object.fromEntries(NAMES.flatMap((name) => (env[name] ? [[name, env[name]]] : [])))
  const content: Content = { pid: process.pid, identity: identify(process.pid), environment }
  writeFileSync(`${fileIn(folder)}.new`, JSON.stringify(content, null, 2), { mode: 0o600 })
  renameSync(`${fileIn(folder)}.new`, fileIn(folder))
}

/** The environment of the start that runs out of this folder, or undefined when none does. */
export function readRunningEnvironment(folder: string): RunningEnvironment | undefined {
  let content: Content
  try {
    content = JSON.parse(readFileSync(fileIn(folder), 'utf8')) as Content
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const isRunning = content.identity !== undefined && identify(content.pid) === content.identity
  return isRunning ? content.environment : undefined
}

export function removeRunningEnvironment(folder: string): void {
  rmSync(fileIn(folder), { force: true })
}

function fileIn(folder: string): string {
  return join(folder, 'environment.json')
}
