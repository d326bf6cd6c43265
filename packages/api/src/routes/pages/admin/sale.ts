import type { AuditRecord } from '@blitzbuy/core/mysql/read-audit-log'
import type { OrderState } from '@blitzbuy/core/order/orders'
import type { ChangeOutcome, ChangeRequest, SaleChange } from '@blitzbuy/core/sale/change-sale'
import { salePhase } from '@blitzbuy/core/sale/sale-phase'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'

import { actorOf } from '../../../plugins/operators.ts'
import { refuse } from '../../../refusals.ts'
import { readSaleId } from '../../../schemas/identifiers.ts'
import { readField } from '../form-fields.ts'
import { readSetting, readTexts, settingOf, textsOf, toFormProblems, SALE_FIELDS } from './sale-form.ts'
import { showPage, type FormProblem } from './show-page.ts'

interface SaleRoute {
  Params: { saleId: string }
  Querystring: Record<string, unknown>
}

const ORDERS_SHOWN = 50
const ENTRIES_SHOWN = 10
const CHANGES_LOOKED_AT = 50
const REFUSED = 422
const CONFLICT = 409
export const ORDER_STATES: readonly OrderState[] = [
  'awaiting_payment',
  'paid',
  'cancelled',
  'expired',
  'rejected',
]

const DONE: Record<string, string> = {
  created: 'The sale is made. The stock-warmer brings it into Redis in time for its opening.',
  changed: 'The sale is changed, on every instance within two seconds.',
  unchanged: 'It was like that already, so nothing was changed.',
  paused: 'The sale is paused: nobody can buy until it is resumed. Orders that stand are not touched.',
  resumed: 'The sale goes on.',
  restocked: 'The units are on sale.',
  closed: 'The sale is closed for good.',
  untold:
    'The change is made in MySQL, but Redis could not be told. The stock-warmer brings it into force when Redis is back.',
}

/** One sale: its figures, orders and story, and everything that can be done to it. */
const salePages: FastifyPluginAsync = async (app) => {
  const { operators, clock } = app.core
  const { sales, readFigures, orderStories, auditLog, changeSale } = operators

  app.get<SaleRoute>('/sales/:saleId', async (request, reply) => {
    const { done, state } = request.query
    return showSale(reply, readSaleId(request.params.saleId), {
      notice: typeof done === 'string' && Object.hasOwn(DONE, done) ? DONE[done] : undefined,
      chosenState: ORDER_STATES.find((known) => known === state),
    })
  })

  // Stopping is never refused because somebody else was faster.
  app.post<SaleRoute>('/sales/:saleId/pause', (request, reply) =>
    act(request, reply, 'paused', { action: 'sale.pause', change: { state: 'paused' } }),
  )
  app.post<SaleRoute>('/sales/:saleId/resume', (request, reply) =>
    act(request, reply, 'resumed', {
      action: 'sale.resume',
      change: { state: 'scheduled' },
      ...revisionOf(request),
    }),
  )
  app.post<SaleRoute>('/sales/:saleId/restock', async (request, reply) => {
    const units = readSetting('quota', readField(request.body, 'units').trim(), '')
    if ('problem' in units || units.value === 0) {
      const message = 'problem' in units ? units.problem : 'must be 1 or more'
      return showSale(reply.code(REFUSED), readSaleId(request.params.saleId), {
        problems: [{ field: 'units', message }],
      })
    }
    return act(request, reply, 'restocked', {
      action: 'sale.restock',
      change: ({ quota }) => ({ quota: quota + units.value }),
      // A form that is sent twice must not restock twice.
      ...revisionOf(request),
    })
  })
  app.post<SaleRoute>('/sales/:saleId/close', async (request, reply) => {
    if (!isConfirmed(request)) {
      return showSale(reply.code(REFUSED), readSaleId(request.params.saleId), {
        problems: [{ field: 'confirm', message: "type the sale's id to close it" }],
      })
    }
    return act(request, reply, 'closed', {
      action: 'sale.close',
      change: { state: 'closed' },
      ...revisionOf(request),
    })
  })

  app.get<SaleRoute>('/sales/:saleId/change', async (request, reply) => {
    const sale = await findSale(request)
    if (!sale) return refuse(reply, { code: 'not-found' })
    const texts = textsOf(sale, sale.currency)
    return showChange(reply, { sale, values: texts, was: texts, revision: sale.revision })
  })

  app.post<SaleRoute>('/sales/:saleId/change', async (request, reply) => {
    const sale = await findSale(request)
    if (!sale) return refuse(reply, { code: 'not-found' })
    const values = readTexts(request.body)
    const was = readTexts(request.body, 'was-')
    const revision = Number(readField(request.body, 'revision')) || sale.revision
    const { change, problems } = readChange(values, was, sale.currency)
    const isLowered = change.quota !== undefined && change.quota < sale.quota
    if (isLowered && !isConfirmed(request))
      problems.push({ field: 'confirm', message: "type the sale's id to lower its quota" })
    if (problems.length > 0) return showChange(reply.code(REFUSED), { sale, values, was, revision, problems })

    const { outcome, isTold } = await changeSale(sale.saleId, {
      action: 'sale.change',
      actor: actorOf(request),
      change,
      expectedRevision: revision,
    })
    switch (outcome.kind) {
      case 'not_found':
        return refuse(reply, { code: 'not-found' })
      case 'unchanged':
        return toSale(reply, sale.saleId, 'unchanged')
      case 'changed':
        return toSale(reply, sale.saleId, isTold ? 'changed' : 'untold')
      case 'refused':
        return showChange(reply.code(REFUSED), {
          sale,
          values,
          was,
          revision,
          problems: toFormProblems(outcome.problems),
        })
      case 'changed_meanwhile': {
        // What the operator has touched stays as they want it; the rest is as the other one has left it.
        const now = textsOf(outcome.settings, sale.currency)
        const touched = SALE_FIELDS.filter((field) => values[field] !== was[field])
        const merged = Object.fromEntries(
          SALE_FIELDS.map((field) => [field, touched.includes(field) ? values[field] : now[field]]),
        ) as typeof now
        return showChange(reply.code(CONFLICT), {
          sale,
          values: merged,
          was: now,
          revision: outcome.settings.revision,
          changes: await changesSince(sale.saleId, revision),
        })
      }
    }
  })

  function findSale({ params }: FastifyRequest<SaleRoute>) {
    const saleId = readSaleId(params.saleId)
    return saleId ? sales.find(saleId) : undefined
  }

  function showChange(
    reply: FastifyReply,
    page: { sale: { saleId: number; title: string }; problems?: FormProblem[]; [name: string]: unknown },
  ) {
    return showPage(reply, 'sale-change', {
      ...page,
      title: `Change sale ${page.sale.saleId}`,
      area: 'sales',
    })
  }

  async function act(
    request: FastifyRequest<SaleRoute>,
    reply: FastifyReply,
    done: string,
    wanted: Omit<ChangeRequest, 'actor'>,
  ) {
    const saleId = readSaleId(request.params.saleId)
    if (!saleId) return refuse(reply, { code: 'not-found' })
    const { outcome, isTold } = await changeSale(saleId, { ...wanted, actor: actorOf(request) })
    if (outcome.kind === 'changed') return toSale(reply, saleId, isTold ? done : 'untold')
    if (outcome.kind === 'unchanged') return toSale(reply, saleId, 'unchanged')
    return showRefused(reply, saleId, outcome, wanted.expectedRevision)
  }

  async function showRefused(
    reply: FastifyReply,
    saleId: number,
    outcome: Extract<ChangeOutcome, { kind: 'not_found' | 'refused' | 'changed_meanwhile' }>,
    seenRevision = 0,
  ) {
    if (outcome.kind === 'not_found') return refuse(reply, { code: 'not-found' })
    if (outcome.kind === 'refused') {
      const problems = outcome.problems.map(({ message }) => ({ field: 'acts', message }))
      return showSale(reply.code(REFUSED), saleId, { problems })
    }
    return showSale(reply.code(CONFLICT), saleId, { changes: await changesSince(saleId, seenRevision) })
  }

  /** What others did to it after this operator had looked. */
  async function changesSince(saleId: number, revision: number): Promise<AuditRecord[]> {
    const { entries } = await auditLog({ subject: `sale:${saleId}` }, CHANGES_LOOKED_AT)
    return entries.filter(({ details }) => Number(details['revision'] ?? 0) > revision)
  }

  async function showSale(
    reply: FastifyReply,
    saleId: number | undefined,
    more: {
      notice?: string | undefined
      problems?: FormProblem[]
      changes?: AuditRecord[]
      chosenState?: OrderState | undefined
    },
  ) {
    const sale = saleId && (await sales.find(saleId))
    if (!sale) return refuse(reply, { code: 'not-found' })
    const [figures, orders, audit] = await Promise.all([
      // With Redis away what MySQL knows is still worth reading.
      readFigures([sale.saleId]).then(
        ([own]) => own,
        () => undefined,
      ),
      orderStories.list({ saleId: sale.saleId, state: more.chosenState }, ORDERS_SHOWN),
      auditLog({ subject: `sale:${sale.saleId}` }, ENTRIES_SHOWN),
    ])
    const nowMs = clock.nowMs()
    return showPage(reply, 'sale', {
      title: `${sale.title} (sale ${sale.saleId})`,
      area: 'sales',
      sale,
      phase: salePhase(sale, figures?.stock?.unitsLeft, nowMs),
      figures,
      orders,
      ordersShown: ORDERS_SHOWN,
      orderStates: ORDER_STATES,
      entries: audit.entries,
      nowMs,
      ...more,
    })
  }
}

export default salePages

function toSale(reply: FastifyReply, saleId: number, done: string): FastifyReply {
  return reply.redirect(`/admin/sales/${saleId}?done=${done}`, 303)
}

/** The wrong button, or the wrong tab, must not end somebody's sale. */
function isConfirmed({ body, params }: FastifyRequest<SaleRoute>): boolean {
  return readField(body, 'confirm').trim() === params.saleId
}

function revisionOf({ body }: FastifyRequest): { expectedRevision?: number } {
  const revision = Number(readField(body, 'revision'))
  return Number.isInteger(revision) && revision > 0 ? { expectedRevision: revision } : {}
}

/** Only what the operator has touched: the rest may have been changed by somebody else meanwhile. */
function readChange(
  values: ReturnType<typeof readTexts>,
  was: ReturnType<typeof readTexts>,
  currency: string,
): { change: SaleChange; problems: FormProblem[] } {
  const change: SaleChange = {}
  const problems: FormProblem[] = []
  for (const field of SALE_FIELDS) {
    if (values[field] === was[field]) continue
    const read = readSetting(field, values[field], currency)
    if ('problem' in read) problems.push({ field, message: read.problem })
    else change[settingOf(field)] = read.value
  }
  return { change, problems }
}
