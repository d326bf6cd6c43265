import { salePhase, type SalePhase } from '@blitzbuy/core/sale/sale-phase'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'

import { actorOf } from '../../../plugins/operators.ts'
import { readField } from '../form-fields.ts'
import {
  readSetting,
  readTexts,
  settingOf,
  toFormProblems,
  SALE_FIELDS,
  type SaleSetting,
  type SaleTexts,
} from './sale-form.ts'
import { showPage, utc, type FormProblem } from './show-page.ts'

const LISTED_MAX = 500
const PRODUCTS_MAX = 500
const REFUSED = 422
const PHASES: readonly SalePhase[] = ['open', 'upcoming', 'sold_out', 'paused', 'ended']
const HOUR_MS = 3_600_000
const CURRENCIES = ['USD', 'CNY']

interface NewSaleForm extends SaleTexts {
  productId: string
  currency: string
}

/** All sales by phase, and making one. */
const saleListPages: FastifyPluginAsync = async (app) => {
  const { operators, clock } = app.core
  const { sales, products, createSale, readStocks } = operators

  app.get<{ Querystring: { phase?: unknown } }>('/sales', async (request, reply) => {
    const found = await sales.list(LISTED_MAX)
    const stocks = await readStocks(found.map(({ saleId }) => saleId)).catch(() => [])
    const nowMs = clock.nowMs()
    const all = found.map((sale, at) => {
      const stock = stocks[at]
      return { ...sale, stock, phase: salePhase(sale, stock?.unitsLeft, nowMs) }
    })
    const chosen = PHASES.find((phase) => phase === request.query.phase)
    return showPage(reply, 'sales', {
      title: 'Sales',
      area: 'sales',
      phases: PHASES.map((phase) => ({
        phase,
        saleCount: all.filter((sale) => sale.phase === phase).length,
      })),
      chosen,
      sales: chosen === undefined ? all : all.filter((sale) => sale.phase === chosen),
      isCut: found.length === LISTED_MAX,
      nowMs,
    })
  })

  app.get<{ Querystring: { product?: unknown } }>('/sales/new', async (request, reply) => {
    const { product } = request.query
    const opensAtMs = Math.ceil((clock.nowMs() + HOUR_MS) / HOUR_MS) * HOUR_MS
    return showForm(reply, {
      productId: typeof product === 'string' ? product : '',
      currency: 'USD',
      price: '',
      listPrice: '',
      quota: '100',
      unitsPerUser: '1',
      tokensPerUnit: '20',
      opensAt: utc(opensAtMs).replace(' ', 'T'),
      closesAt: utc(opensAtMs + 2 * HOUR_MS).replace(' ', 'T'),
      paymentWindowSeconds: '900',
    })
  })

  app.post('/sales/new', async (request, reply) => {
    const currency = readField(request.body, 'currency').trim().toUpperCase()
    const productId = readField(request.body, 'productId').trim()
    const texts = readTexts(request.body)
    // Without a price of elsewhere nothing is crossed out.
    if (texts.listPrice === '') texts.listPrice = texts.price
    const form = { ...texts, productId, currency }
    const problems: FormProblem[] = []
    const settings: Record<string, number> = {}
    if (!/^\d{1,9}$/.test(productId)) problems.push({ field: 'productId', message: 'Choose a product.' })
    for (const field of SALE_FIELDS) {
      const read = readSetting(field, texts[field], currency)
      if ('problem' in read) problems.push({ field, message: read.problem })
      else settings[settingOf(field)] = read.value
    }
    if (problems.length > 0) return showForm(reply.code(REFUSED), form, problems)

    const outcome = await createSale(
      { ...(settings as Record<SaleSetting, number>), product: { productId: Number(productId) }, currency },
      { actor: actorOf(request) },
    )
    if (outcome.kind === 'refused')
      return showForm(reply.code(REFUSED), form, toFormProblems(outcome.problems))
    return reply.redirect(`/admin/sales/${outcome.saleId}?done=created`, 303)
  })

  async function showForm(reply: FastifyReply, values: NewSaleForm, problems: FormProblem[] = []) {
    return showPage(reply, 'new-sale', {
      title: 'New sale',
      area: 'sales',
      values,
      problems,
      products: await products.list(PRODUCTS_MAX),
      currencies: [...new Set([...CURRENCIES, values.currency].filter((each) => each !== ''))],
    })
  }
}

export default saleListPages
