import { join } from 'node:path'

import { root } from '../prepare.mjs'
import { findPortFrom } from '../stores/ports.ts'
import { NODE_FLAGS } from './node-flags.ts'
import type { ProcessPlan } from './supervised-process.ts'

/** Every process of the system, and the health port it would like. */
const processes = [
  { name: 'api', healthPort: 3100 },
  { name: 'order-worker', healthPort: 3200 },
  { name: 'stock-warmer', healthPort: 3300 },
]

/** One of each, from the build, or, when watching, from the sources. */
export async function planProcesses(
  env: NodeJS.ProcessEnv,
  { watch, port }: { watch: boolean; port: number },
): Promise<ProcessPlan[]> {
  const taken = new Set([port])
  const plans: ProcessPlan[] = []
  for (const { name, healthPort } of processes) {
    const chosen = await findPortFrom(healthPort, taken)
    taken.add(chosen)
    plans.push({
      name,
      args: watch ? watching(name) : [...NODE_FLAGS, join(root, 'packages', name, 'dist', 'main.js')],
      env: { ...env, HEALTH_PORT: String(chosen) },
      readyUrl: `http://127.0.0.1:${chosen}/readyz`,
    })
  }
  return plans
}

function watching(name: string): string[] {
  const tsx = join(root, 'node_modules', 'tsx', 'dist', 'cli.mjs')
  const main = join(root, 'packages', name, 'src', 'main.ts')
  return [tsx, 'watch', '--clear-screen=false', '--conditions=blitzbuy-source', main]
}
