import { join } from 'node:path'

import type { TestProject } from 'vitest/node'

import { startStores } from '../scripts/stores/start-stores.ts'
import type { Stores } from '../scripts/stores/store.ts'
import { makeTemporaryFolder } from '../scripts/stores/temporary-folder.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    mysqlUrl: string
    redisUrl: string
    amqpUrl: string
  }
}

interface TestStores {
  stores: Promise<Stores>
  end: () => Promise<void>
  users: number
}

/**
 * Each project that needs stores loads this file for itself, but all of them in one process: what they share
 * lies beside the modules, so that the stores are started once a run.
 */
const shared = globalThis as { blitzbuyTestStores?: TestStores }

/** The stores of a test run: private ones in a temporary folder, gone at the end. */
export default async function provideStores(project: TestProject): Promise<() => Promise<void>> {
  const testStores = (shared.blitzbuyTestStores ??= startTestStores())
  testStores.users++
  const { mysqlUrl, redisUrl, amqpUrl } = await testStores.stores
  project.provide('mysqlUrl', mysqlUrl)
  project.provide('redisUrl', redisUrl)
  project.provide('amqpUrl', amqpUrl)
  return async () => {
    if (--testStores.users === 0) await testStores.end()
  }
}

function startTestStores(): TestStores {
  const folder = makeTemporaryFolder()
  const stores = folder.then(({ path }) =>
    startStores({ folder: join(path, 'stores'), given: givenStores() }),
  )
  return {
    stores,
    users: 0,
    end: async () => {
      await (await stores).stop()
      await (await folder).remove()
    },
  }
}

/** Tests empty and break what they use: a store that happens to be in the environment is used only when asked for. */
function givenStores() {
  return process.env.BLITZBUY_TEST_STORES === 'environment' ? process.env : {}
}
