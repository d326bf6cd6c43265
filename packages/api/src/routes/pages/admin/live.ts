import { salePhase } from '@blitzbuy/core/sale/sale-phase'
import type { FastifyPluginAsync } from 'fastify'

import { PURCHASE_OUTCOMES } from '../../../api-metrics.ts'
import { refuse } from '../../../refusals.ts'
import { readSaleId } from '../../../schemas/identifiers.ts'
import { showPage } from './show-page.ts'

const NO_SCRIPT_REFRESH_SECONDS = 5

/** A sale as it runs: a page that a script keeps up, and that a browser without one loads again. */
const livePages: FastifyPluginAsync = async (app) => {
  const { sales, live } = app.core.operators

  app.get<{ Params: { saleId: string } }>('/sales/:saleId/live', async (request, reply) => {
    const saleId = readSaleId(request.params.saleId)
    const sale = saleId && (await sales.find(saleId))
    if (!sale) return refuse(reply, { code: 'not-found' })
    const { now, history } = await live.look(sale.saleId)
    return showPage(reply, 'live', {
      title: `Sale ${sale.saleId} live`,
      area: 'sales',
      sale,
      phase: salePhase(sale, now.stock?.unitsLeft, now.atMs),
      now,
      history,
      outcomes: PURCHASE_OUTCOMES,
      noScriptRefreshSeconds: NO_SCRIPT_REFRESH_SECONDS,
      scripts: ['/assets/admin.js'],
    })
  })
}

export default livePages
