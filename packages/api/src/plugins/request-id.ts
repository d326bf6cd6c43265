import fp from 'fastify-plugin'

/**
 * Every answer says which request it belongs to: the id is in the log lines of this request, in the message of a
 * purchase, and so in the lines of the worker that places the order.
 */
export default fp(
  async (app) => {
    app.addHook('onRequest', (request, reply, done) => {
      reply.header('x-request-id', request.id)
      done()
    })
  },
  { name: 'request-id' },
)
