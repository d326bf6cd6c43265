import { join } from 'node:path'

import { loadConfig } from '@blitzbuy/core/config'
import { ConfigInvalid } from '@blitzbuy/core/errors'
import type { Static, TObject } from 'typebox'

import { home } from '../prepare.mjs'
import { readRunningEnvironment } from '../start/running-environment.ts'
import { StepFailed } from '../steps.mjs'

export interface SystemSettings<Schema extends TObject> {
  settings: Readonly<Static<Schema>>
  /** Where they come from, for the person who must know which system is about to be changed. */
  origin: string
}

/**
 * Which system a command works on: the one that the environment names, or, when it names nothing, the `npm start`
 * that runs here.
 *
 * Never a mixture: accounts in one system's MySQL and sessions in another one's Redis would help nobody.
 *
 * @throws ConfigInvalid naming everything that is missing or malformed.
 * @throws StepFailed in production, unless the command is made for it, and when there is no system to work on.
 */
export function readSystemSettings<Schema extends TObject>(
  schema: Schema,
  {
    allowsProduction = false,
    env = process.env,
  }: { allowsProduction?: boolean; env?: NodeJS.ProcessEnv } = {},
): SystemSettings<Schema> {
  const isNamed = Object.keys(schema.properties).some((name) => env[name])
  const running = isNamed ? undefined : readRunningEnvironment(join(home, 'start'))
  for (const { NODE_ENV } of [env, running ?? {}]) {
    if (NODE_ENV === 'production' && !allowsProduction) {
      throw new StepFailed(
        'Refused with NODE_ENV=production: made-up shoppers have no place among real ones.',
      )
    }
  }
  try {
    return {
      settings: loadConfig(schema, running ?? env),
      origin: running ? `the running \`npm start\` (${running.PUBLIC_ORIGIN})` : 'the environment',
    }
  } catch (error) {
    if (isNamed || !(error instanceof ConfigInvalid)) throw error
    throw new StepFailed(`The environment names no system, and no \`npm start\` runs here. ${error.message}`)
  }
}
