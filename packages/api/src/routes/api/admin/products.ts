import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

import { actorOf } from '../../../plugins/operators.ts'
import { refuse } from '../../../refusals.ts'
import { readSaleId } from '../../../schemas/identifiers.ts'
import { ProductBody } from '../../../schemas/operators.ts'

const LISTED_MAX = 500
const ProductParams = Type.Object({ productId: Type.String() })

const productRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { products } = app.core.operators

  app.get('/products', async () => ({ products: await products.list(LISTED_MAX) }))

  app.post('/products', { schema: { body: ProductBody } }, async (request, reply) => {
    const outcome = await products.create(request.body, actorOf(request))
    if (outcome.kind === 'refused') return refuse(reply, { code: 'change-refused', errors: outcome.problems })
    return reply.code(201).send(await products.find(outcome.productId))
  })

  app.get('/products/:productId', { schema: { params: ProductParams } }, async (request, reply) => {
    // The same numbers as sales have.
    const productId = readSaleId(request.params.productId)
    const product = productId && (await products.find(productId))
    return product || refuse(reply, { code: 'not-found' })
  })

  app.put(
    '/products/:productId',
    { schema: { params: ProductParams, body: ProductBody } },
    async (request, reply) => {
      const productId = readSaleId(request.params.productId)
      if (!productId) return refuse(reply, { code: 'not-found' })
      const outcome = await products.change(productId, request.body, actorOf(request))
      switch (outcome.kind) {
        case 'not_found':
          return refuse(reply, { code: 'not-found' })
        case 'refused':
          return refuse(reply, { code: 'change-refused', errors: outcome.problems })
        case 'changed':
        case 'unchanged':
          return products.find(productId)
      }
    },
  )
}

export default productRoutes
