import { healthAddress, loadConfig } from '@blitzbuy/core/config'
import { armCrashPoints } from '@blitzbuy/core/crash-point'
import { startHealthServer } from '@blitzbuy/core/health'
import { createLog } from '@blitzbuy/core/log'
import { redisReady } from '@blitzbuy/core/redis/connect-redis'
import { runProcess } from '@blitzbuy/core/run-process'
import { loadTracing } from '@blitzbuy/core/tracing/tracing'

import { buildApi } from './app.ts'
import { ApiConfig, checkApiConfig } from './config.ts'
import { wireCore } from './wire-core.ts'

const FIRST_CONNECTION_MS = 2_000
const LISTEN_BACKLOG = 4_096

await runProcess('api', async () => {
  const config = loadConfig(ApiConfig, process.env, checkApiConfig)
  armCrashPoints(config)
  const log = createLog({ name: 'api', level: config.LOG_LEVEL })
  const tracing = await loadTracing(config, 'api', log)
  const core = wireCore(config, log, tracing)
  const app = await buildApi({ config, core, log })
  // Nobody on the blacklist slips in while it is read; without Redis nobody can do anything anyway.
  await redisReady(core.redis, FIRST_CONNECTION_MS)
    .then(() => core.blacklist.load())
    .catch(() => undefined)
  // Node's default of 511 connections that wait to be accepted is less than a rush brings in one moment.
  await app.listen({ host: config.HOST, port: config.PORT, backlog: LISTEN_BACKLOG })
  // Last: whoever asks /readyz learns of a process that listens.
  const health = await startHealthServer({
    ...healthAddress(config),
    checks: core.checks,
    registry: core.metrics.registry,
    documents: { '/openapi.json': () => app.swagger() },
  })

  return {
    log,
    health,
    async close() {
      health.drain()
      await app.close()
      await core.close()
      await tracing?.close()
      await health.close()
    },
  }
})
