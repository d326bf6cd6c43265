import fp from 'fastify-plugin'

const SWEEP_MS = 100

/**
 * Ends within seconds although browsers keep their connections open: Fastify's close() waits for every socket
 * that was busy when it began.
 */
export default fp(
  async (app) => {
    let isDraining = false
    let sweep: NodeJS.Timeout | undefined

    app.addHook('onSend', (_request, reply, _payload, done) => {
      if (isDraining) reply.header('connection', 'close')
      done()
    })
    app.addHook('preClose', (done) => {
      isDraining = true
      sweep = setInterval(() => app.server.closeIdleConnections(), SWEEP_MS)
      done()
    })
    app.addHook('onClose', (_app, done) => {
      clearInterval(sweep)
      done()
    })
  },
  { name: 'drain' },
)
