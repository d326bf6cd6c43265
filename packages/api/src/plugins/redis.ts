import fastifyRedis from '@fastify/redis'
import fp from 'fastify-plugin'

/**
 * Makes core's connection known to other plugins as `app.redis`.
 *
 * @fastify/redis would hold up the start until Redis answers, and fail it after ten seconds. This process starts
 * without Redis and answers 503, so the plugin is told that the connection is ready while it registers.
 */
export default fp(
  async (app) => {
    let isRegistering = true
    const client = new Proxy(app.core.redis, {
      get(redis, name) {
        if (name === 'status' && isRegistering) return 'ready'
        const value: unknown = Reflect.get(redis, name)
        return typeof value === 'function' ? (value.bind(redis) as unknown) : value
      },
    })
    await app.register(fastifyRedis, { client })
    isRegistering = false
  },
  { name: 'redis', dependencies: ['core'] },
)
