import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { answers } from './greeting.ts'
import type { StorePrograms } from './programs.ts'
import type { RecipeContext, StoreRecipe } from './recipe.ts'
import { giveTo } from './service-user.ts'

export function redisRecipe(programs: StorePrograms['redis'], context: RecipeContext): StoreRecipe {
  const { folder, user } = context
  const port = context.port('redis')
  const password = context.secret('redis')
  const configFile = join(folder, 'redis.conf')
  const logFile = join(folder, 'output.log')

  return {
    name: 'redis',
    title: 'Redis',
    url: `redis://:${password}@127.0.0.1:${port}`,
    folder,
    user,
    logFiles: [logFile],
    companions: [],

    prepare: async () => {
      const config = [
        'bind 127.0.0.1',
        'protected-mode yes',
        `port ${port}`,
        `requirepass ${password}`,
        'daemonize no',
        `dir "${folder}"`,
        // Stock is counted here: what was taken must survive a crash, and nothing may be evicted.
        'appendonly yes',
        'appendfsync everysec',
        'save ""',
        'maxmemory-policy noeviction',
      ]
      rmSync(configFile, { force: true })
      writeFileSync(configFile, `${config.join('\n')}\n`, { mode: 0o600 })
      giveTo(configFile, user)
    },

    daemon: { name: 'redis', command: programs.server, args: [configFile] },

    // While it loads its data it takes the password, but answers a PING with LOADING.
    isReady: () =>
      answers(port, `AUTH ${password}\r\nPING\r\n`, (received) => received.toString().includes('+PONG')),
  }
}
