import { loadConfig } from '@blitzbuy/core/config'
import { defaultCredentials } from '@blitzbuy/core/default-credentials'
import { ConfigInvalid } from '@blitzbuy/core/errors'
import type { Command } from 'commander'
import type { TObject } from 'typebox'

import { ApiConfig, checkApiConfig } from '../../packages/api/src/config.ts'
import { WorkerConfig } from '../../packages/order-worker/src/config.ts'
import { WarmerConfig } from '../../packages/stock-warmer/src/config.ts'
import { StepFailed } from '../steps.mjs'
import { say } from './connect-system.ts'

const SCHEMAS = { api: ApiConfig, 'order-worker': WorkerConfig, 'stock-warmer': WarmerConfig }
type ProcessName = keyof typeof SCHEMAS
const NAMES = Object.keys(SCHEMAS) as ProcessName[]

const HELP = `
Reads the environment of this shell, as the processes would; an env file by \`set -a; . ./file; set +a\` first.

Exit status: 0 every process named would start with it; 1 one would not, and every problem is listed.
`

export function registerConfig(blitz: Command): void {
  const config = blitz
    .command('config')
    .description('the settings in the environment: checks, prints')
    .helpCommand(false)
    .addHelpText('after', HELP)
  config
    .command('check')
    .description('whether the processes would start with this environment')
    .argument('[process...]', `of ${NAMES.join(', ')}; all unless named`, asProcess, [])
    .action(check)
  config
    .command('print')
    .description('every setting as a process would take it, defaults included, secrets masked')
    .argument('<process>', `one of ${NAMES.join(', ')}`, (text: string) => asProcess(text, [])[0])
    .option('--json', 'one JSON object on stdout')
    .action(print)
}

function asProcess(text: string, before: ProcessName[]): ProcessName[] {
  const name = NAMES.find((one) => one === text)
  if (name) return [...before, name]
  throw new StepFailed(`There is no process ${text}: there are ${NAMES.join(', ')}.`)
}

function check(named: ProcessName[]): void {
  let problemCount = 0
  for (const name of named.length > 0 ? named : NAMES) {
    const problems = problemsOf(name)
    problemCount += problems.length
    say(problems.length === 0 ? `${name}: would start` : `${name}: would not start`)
    for (const problem of problems) say(`  - ${problem}`)
  }
  if (problemCount > 0) process.exitCode = 1
}

function problemsOf(name: ProcessName): readonly string[] {
  try {
    load(name)
    return []
  } catch (error) {
    if (error instanceof ConfigInvalid) return error.problems
    throw error
  }
}

function print(name: ProcessName, { json }: { json?: true }): void {
  const settings = Object.entries(load(name)).map(([key, value]) => [key, mask(key, value)] as const)
  if (json) process.stdout.write(`${JSON.stringify(Object.fromEntries(settings))}\n`)
  else for (const [key, value] of settings) process.stdout.write(`${key}=${String(value)}\n`)
  const known = defaultCredentials(process.env)
  if (known.length > 0) say(`well known, and refused with NODE_ENV=production: ${known.join(', ')}`)
}

function load(name: ProcessName): Record<string, unknown> {
  return name === 'api'
    ? loadConfig(ApiConfig, process.env, checkApiConfig)
    : loadConfig(SCHEMAS[name] as TObject)
}

/** Enough to tell which one it is, and nothing that opens anything. */
function mask(name: string, value: unknown): unknown {
  if (typeof value !== 'string') return value
  if (/SECRET|PASSWORD|TOKEN_KEY/.test(name))
    return value
      .split(',')
      .map(() => '********')
      .join(',')
  if (!URL.canParse(value) || !value.includes('@')) return value
  const url = new URL(value)
  if (url.password !== '') url.password = '********'
  return url.href
}
