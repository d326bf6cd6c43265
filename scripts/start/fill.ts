import { spawn } from 'node:child_process'
import { join } from 'node:path'

import { root } from '../prepare.mjs'
import { lastLines } from '../run.mjs'
import { StepFailed } from '../steps.mjs'
import type { ProcessRecord } from '../stores/process-record.ts'

export interface Login {
  phone: string
  password: string
}

export interface OperatorLogin extends Login {
  secondFactor: { secret: string; uri: string; recoveryCode: string }
}

export interface DemoData {
  shopper: Login
  operator: OperatorLogin
  salesAdded: number
}

export interface Filling {
  migrated: Promise<void>
  /** Undefined in production, where there is no demo data. */
  seeded: Promise<DemoData | undefined>
}

type Message = { kind: 'migrated' } | ({ kind: 'seeded' } & DemoData)

/**
 * Makes the tables and the demo data, in a process of its own: only so can a watching start run the sources
 * where the other runs the build, and the supervisor stays small.
 */
export function fillStores(env: NodeJS.ProcessEnv, conditions: string[], record: ProcessRecord): Filling {
  const script = join(root, 'scripts', 'start', 'fill-stores.ts')
  const child = spawn(process.execPath, ['--import', 'tsx', ...conditions, script], {
    cwd: root,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  if (child.pid !== undefined) record.add('fill-stores', child.pid)
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (said += String(chunk)))

  let isMigrated = false
  let demoData: DemoData | undefined
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      record.remove('fill-stores')
      if (code === 0) resolve()
      else reject(new StepFailed(`It ended with status ${code}:\n\n${lastLines(said)}`))
    })
  })
  const migrated = new Promise<void>((resolve, reject) => {
    child.on('message', (message: Message) => {
      if (message.kind === 'migrated') {
        isMigrated = true
        resolve()
      } else {
        demoData = { shopper: message.shopper, operator: message.operator, salesAdded: message.salesAdded }
      }
    })
    ended.catch((error: Error) => !isMigrated && reject(error))
  })
  const seeded = ended.then(() => demoData)
  // Whoever waits for the first does not wait for the second yet: its failure is told when its turn comes.
  seeded.catch(() => {})
  return { migrated, seeded }
}
