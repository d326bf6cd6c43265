import type { Reconciliation } from '@blitzbuy/core/order/reconcile-sale'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'

import { actorOf } from '../../../plugins/operators.ts'
import { refuse } from '../../../refusals.ts'
import { readSaleId } from '../../../schemas/identifiers.ts'
import { showPage } from './show-page.ts'

interface SaleRoute {
  Params: { saleId: string }
}

/** Redis compared with MySQL, order by order: first the report, then, if wanted, the repair. */
const reconcilePages: FastifyPluginAsync = async (app) => {
  const { sales, reconcile, repair } = app.core.operators

  app.get<SaleRoute>('/sales/:saleId/reconcile', async (request, reply) => {
    const sale = await findSale(request.params.saleId)
    if (!sale) return refuse(reply, { code: 'not-found' })
    return show(reply, sale, await reconcile(sale.saleId, { repair: false }))
  })

  app.post<SaleRoute>('/sales/:saleId/reconcile', async (request, reply) => {
    const sale = await findSale(request.params.saleId)
    if (!sale) return refuse(reply, { code: 'not-found' })
    return show(reply, sale, await repair(sale.saleId, actorOf(request)))
  })

  async function findSale(text: string) {
    const saleId = readSaleId(text)
    return saleId ? sales.find(saleId) : undefined
  }

  function show(
    reply: FastifyReply,
    sale: { saleId: number; title: string },
    report: Reconciliation | { kind: 'not_warmed' },
  ) {
    const differences =
      report.kind === 'reconciled' ? report.endedCount + report.unheldCount + report.unlistedCount : 0
    const title = `Reconcile sale ${sale.saleId}`
    return showPage(reply, 'reconcile', { title, area: 'sales', sale, report, differences })
  }
}

export default reconcilePages
