import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { makeTemporaryFolder, type TemporaryFolder } from '../../scripts/stores/temporary-folder.ts'
import { runRandomMode } from './random-mode.ts'
import { allRows } from './rows/all-rows.ts'
import { startFaultSystem, type FaultSystem } from './system.ts'

/*
 * The part of `pnpm faults` that is run with every change: a few rows and a minute of random faults, always the same.
 * When it fails, `pnpm faults --row NAME` or `--seconds 60 --seed 11` shows it again.
 */
const ROWS = ['worker-crash-points', 'redis-last-second', 'rabbitmq-queue-deleted']
const SEED = 11
const RANDOM_SECONDS = 60
/** Others may be at work on the machine: refusals are only asked to come, not to be quick. */
const SLACK_MS = 3_000
const STARTED_WITHIN_MS = 120_000
const DONE_WITHIN_MS = 400_000

let folder: TemporaryFolder
let system: FaultSystem
const said: string[] = []

beforeAll(async () => {
  folder = await makeTemporaryFolder()
  system = await startFaultSystem({ folder: folder.path, say: (line) => void said.push(line) })
}, STARTED_WITHIN_MS)

afterAll(async () => {
  await system?.stop()
  await folder?.remove()
}, STARTED_WITHIN_MS)

describe('whatever breaks, nothing is sold twice, lost or left open:', () => {
  it.each(allRows.filter((row) => ROWS.includes(row.name)).map((row) => [`${row.what}: ${row.fault}`, row]))(
    '%s',
    async (_name, row) => {
      const { violations } = await row.run(system, { seed: SEED, slackMs: SLACK_MS })
      expect(violations).toEqual([])
    },
    DONE_WITHIN_MS,
  )

  it(
    `${RANDOM_SECONDS} s of random faults`,
    async () => {
      const { violations, faults } = await runRandomMode(system, {
        seed: SEED,
        seconds: RANDOM_SECONDS,
        slackMs: SLACK_MS,
        say: (line) => void said.push(line),
      })
      expect(violations, said.join('\n')).toEqual([])
      expect(faults).toBeGreaterThan(0)
    },
    DONE_WITHIN_MS,
  )
})
