import Fastify from 'fastify'

import { createBuyForUpdate } from './buy-for-update.ts'
import { createBuyUnderLock } from './buy-under-lock.ts'
import { createBuyByMessage } from './buy-by-message.ts'
import { connectTextbook, type Buy } from './textbook.ts'

/*
 * How a flash sale is built in most tutorials, each way as well as it can be done: no session and no gate in front,
 * pooled connections, one process. What is slow here is the idea.
 */
const textbook = await connectTextbook(process.env)
const ways: Record<string, Buy> = {
  redlock: createBuyUnderLock(textbook),
  'for-update': createBuyForUpdate(textbook),
  'message-each': await createBuyByMessage(textbook),
}

const app = Fastify()
for (const [name, buy] of Object.entries(ways)) {
  app.post<{ Params: { saleId: string } }>(`/${name}/sales/:saleId/orders`, async (request, reply) => {
    const isBought = await buy(Number(request.params.saleId), String(request.headers['x-forwarded-for']))
    return isBought ? reply.code(202).send({ state: 'queued' }) : reply.code(409).send({ code: 'sold-out' })
  })
}
app.get('/', () => 'ready')
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT), backlog: 4_096 })
