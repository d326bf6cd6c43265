import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

import { refuse } from '../../../refusals.ts'
import { OrderParams, readSaleId } from '../../../schemas/identifiers.ts'

const LISTED_MAX = 100

const OrderQuery = Type.Object(
  {
    phone: Type.Optional(Type.String({ maxLength: 40 })),
    saleId: Type.Optional(Type.String({ maxLength: 10 })),
    state: Type.Optional(Type.Enum(['awaiting_payment', 'paid', 'cancelled', 'expired', 'rejected'])),
  },
  { additionalProperties: false },
)

/** Orders of anybody: by the buyer's phone number, by sale, or one by its id. */
const orderRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { orderStories } = app.core.operators

  app.get('/orders', { schema: { querystring: OrderQuery } }, async (request) => {
    const { phone, saleId, state } = request.query
    const userId = phone === undefined ? undefined : ((await orderStories.findUserByPhone(phone)) ?? 0)
    const ofSale = saleId === undefined ? undefined : (readSaleId(saleId) ?? 0)
    return { orders: await orderStories.list({ userId, saleId: ofSale, state }, LISTED_MAX) }
  })

  app.get('/orders/:orderId', { schema: { params: OrderParams } }, async (request, reply) => {
    return (await orderStories.find(request.params.orderId)) ?? refuse(reply, { code: 'not-found' })
  })
}

export default orderRoutes
