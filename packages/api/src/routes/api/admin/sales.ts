import type { ChangeRequest } from '@blitzbuy/core/sale/change-sale'
import { salePhase } from '@blitzbuy/core/sale/sale-phase'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'

import { actorOf } from '../../../plugins/operators.ts'
import { refuse } from '../../../refusals.ts'
import { SaleParams, readSaleId } from '../../../schemas/identifiers.ts'
import {
  CloseBody,
  NewSaleBody,
  ReconcileBody,
  RestockBody,
  RevisionBody,
  SaleChangeBody,
  type SaleChangeFields,
} from '../../../schemas/operators.ts'

const LISTED_MAX = 500
const TOKENS_PER_UNIT = 20
const PAYMENT_WINDOW_SECONDS = 900

interface SaleRoute {
  Params: { saleId: string }
}

const saleRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { operators, clock } = app.core
  const { sales, createSale, changeSale, readStocks, readFigures, reconcile, repair } = operators

  app.get('/sales', async () => {
    const found = await sales.list(LISTED_MAX)
    // With Redis away the rest is still worth reading.
    const stocks = await readStocks(found.map(({ saleId }) => saleId)).catch(() => [])
    return {
      sales: found.map((sale, at) => ({
        ...sale,
        phase: salePhase(sale, stocks[at]?.unitsLeft, clock.nowMs()),
        stock: stocks[at] ?? null,
      })),
      nowMs: clock.nowMs(),
    }
  })

  app.post('/sales', { schema: { body: NewSaleBody } }, async (request, reply) => {
    const { productId, ...draft } = request.body
    const outcome = await createSale(
      {
        unitsPerUser: 1,
        tokensPerUnit: TOKENS_PER_UNIT,
        paymentWindowSeconds: PAYMENT_WINDOW_SECONDS,
        listPriceCents: draft.priceCents,
        ...draft,
        product: { productId },
      },
      { actor: actorOf(request) },
    )
    if (outcome.kind === 'refused') return refuse(reply, { code: 'change-refused', errors: outcome.problems })
    return reply.code(201).send(await read(outcome.saleId ?? 0))
  })

  app.get('/sales/:saleId', { schema: { params: SaleParams } }, async (request, reply) => {
    const saleId = readSaleId(request.params.saleId)
    return (saleId && (await read(saleId))) || refuse(reply, { code: 'not-found' })
  })

  app.patch(
    '/sales/:saleId',
    { schema: { params: SaleParams, body: SaleChangeBody } },
    async (request, reply) => {
      const { revision, confirm, ...wanted } = request.body
      const saleId = readSaleId(request.params.saleId)
      const sale = saleId && (await sales.find(saleId))
      if (!sale) return refuse(reply, { code: 'not-found' })
      const { quota } = wanted as SaleChangeFields
      const isLowered = quota !== undefined && quota < sale.quota
      if (isLowered && confirm !== sale.saleId) return refuse(reply, { code: 'confirmation-missing' })
      return change(request, reply, { action: 'sale.change', change: wanted, revision })
    },
  )

  app.post('/sales/:saleId/pause', { schema: { params: SaleParams, body: RevisionBody } }, (request, reply) =>
    change(request, reply, { ...request.body, action: 'sale.pause', change: { state: 'paused' } }),
  )
  app.post(
    '/sales/:saleId/resume',
    { schema: { params: SaleParams, body: RevisionBody } },
    (request, reply) =>
      change(request, reply, { ...request.body, action: 'sale.resume', change: { state: 'scheduled' } }),
  )
  app.post(
    '/sales/:saleId/restock',
    { schema: { params: SaleParams, body: RestockBody } },
    async (request, reply) => {
      const { units, revision } = request.body
      return change(request, reply, {
        revision,
        action: 'sale.restock',
        change: ({ quota }) => ({ quota: quota + units }),
      })
    },
  )
  app.post(
    '/sales/:saleId/close',
    { schema: { params: SaleParams, body: CloseBody } },
    async (request, reply) => {
      const { confirm, revision } = request.body
      if (String(confirm) !== request.params.saleId) return refuse(reply, { code: 'confirmation-missing' })
      return change(request, reply, { revision, action: 'sale.close', change: { state: 'closed' } })
    },
  )

  app.post(
    '/sales/:saleId/reconcile',
    { schema: { params: SaleParams, body: ReconcileBody } },
    async (request, reply) => {
      const saleId = readSaleId(request.params.saleId)
      if (!saleId || !(await sales.find(saleId))) return refuse(reply, { code: 'not-found' })
      const outcome = request.body.repair
        ? await repair(saleId, actorOf(request))
        : await reconcile(saleId, { repair: false })
      return outcome.kind === 'not_warmed' ? refuse(reply, { code: 'sale-warming' }) : outcome
    },
  )

  async function read(saleId: number) {
    const [sale, figures] = await Promise.all([
      sales.find(saleId),
      // With Redis away what MySQL knows is still worth reading.
      readFigures([saleId]).catch(() => []),
    ])
    const nowMs = clock.nowMs()
    if (!sale) return undefined
    const [own] = figures
    return { ...sale, phase: salePhase(sale, own?.stock?.unitsLeft, nowMs), figures: own ?? null, nowMs }
  }

  async function change(
    request: FastifyRequest<SaleRoute>,
    reply: FastifyReply,
    wanted: Pick<ChangeRequest, 'action' | 'change'> & { revision?: number | undefined },
  ) {
    const saleId = readSaleId(request.params.saleId)
    if (!saleId) return refuse(reply, { code: 'not-found' })
    const { revision, ...rest } = wanted
    const { outcome, isTold } = await changeSale(saleId, {
      ...rest,
      actor: actorOf(request),
      ...(revision !== undefined && { expectedRevision: revision }),
    })
    switch (outcome.kind) {
      case 'not_found':
        return refuse(reply, { code: 'not-found' })
      case 'changed_meanwhile':
        return refuse(reply, {
          code: 'changed-meanwhile',
          details: { revision: outcome.settings.revision },
        })
      case 'refused':
        return refuse(reply, { code: 'change-refused', errors: outcome.problems })
      case 'unchanged':
        return { isChanged: false, isTold: true, sale: await read(saleId) }
      case 'changed':
        return { isChanged: true, isTold, sale: await read(saleId) }
    }
  }
}

export default saleRoutes
