import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'

import { refuse } from '../../refusals.ts'
import type { SaleView } from '../../sale-views.ts'
import { SaleParams, readSaleId } from '../../schemas/identifiers.ts'
import { SaleAnswer, SaleListAnswer } from '../../schemas/sales.ts'

/** What everybody may see; nothing here knows who asks, so a cache in front may keep it for a second. */
const saleRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { saleViews, clock } = app.core
  const SHARED = 'public, max-age=1'

  app.get(
    '/time',
    { schema: { response: { 200: Type.Object({ nowMs: Type.Integer() }) } } },
    async (_request, reply) => {
      reply.header('cache-control', 'no-store')
      return { nowMs: clock.nowMs() }
    },
  )

  app.get('/sales', { schema: { response: { 200: SaleListAnswer } } }, async (_request, reply) => {
    const sales = await saleViews.list()
    reply.header('cache-control', SHARED)
    return { sales: sales.map(toSaleAnswer), nowMs: clock.nowMs() }
  })

  app.get(
    '/sales/:saleId',
    { schema: { params: SaleParams, response: { 200: SaleAnswer } } },
    async (request, reply) => {
      const saleId = readSaleId(request.params.saleId)
      const sale = saleId && (await saleViews.find(saleId))
      if (!sale) return refuse(reply, { code: 'not-found' })
      reply.header('cache-control', SHARED)
      return toSaleAnswer(sale)
    },
  )
}

export default saleRoutes

function toSaleAnswer({ unitsMayReturnUntilMs, ...sale }: SaleView) {
  return {
    ...sale,
    ...(unitsMayReturnUntilMs !== undefined && { unitsMayReturnUntilMs }),
    opensAt: new Date(sale.opensAtMs).toISOString(),
    closesAt: new Date(sale.closesAtMs).toISOString(),
  }
}
