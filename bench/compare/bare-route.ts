import Fastify from 'fastify'

import { SaleParams } from '../../packages/api/src/schemas/identifiers.ts'
import { OrderAnswer, PurchaseAnswer, PurchaseBody } from '../../packages/api/src/schemas/orders.ts'

/*
 * What everything else is measured against, in a process of its own: the purchase route's path, schemas, headers and
 * answer, and nothing behind them.
 */
const app = Fastify({
  ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: true } },
})

app.post(
  '/api/v1/sales/:saleId/orders',
  { schema: { params: SaleParams, body: PurchaseBody, response: { 200: OrderAnswer, 202: PurchaseAnswer } } },
  async (_request, reply) =>
    reply
      .code(202)
      .header('location', '/api/v1/orders/01M82S2JRR000000990T2F90PG')
      .header('cache-control', 'no-store')
      .send({
        orderId: '01M82S2JRR000000990T2F90PG',
        state: 'queued',
        handoff: 'confirmed',
        pollAfterMs: 500,
      }),
)

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
