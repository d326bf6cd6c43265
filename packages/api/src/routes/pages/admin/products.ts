import type { NewProduct } from '@blitzbuy/core/sale/sales'
import type { FastifyPluginAsync, FastifyReply } from 'fastify'

import { actorOf } from '../../../plugins/operators.ts'
import { refuse } from '../../../refusals.ts'
import { readSaleId } from '../../../schemas/identifiers.ts'
import { readField } from '../form-fields.ts'
import { showPage, type FormProblem } from './show-page.ts'

interface ProductRoute {
  Params: { productId: string }
}

const LISTED_MAX = 500
const REFUSED = 422
const EMPTY: NewProduct = { title: '', description: '', imagePath: '/assets/icon.svg' }

const productPages: FastifyPluginAsync = async (app) => {
  const { products } = app.core.operators

  app.get<{ Querystring: { done?: unknown } }>('/products', async (request, reply) =>
    showPage(reply, 'products', {
      title: 'Products',
      area: 'products',
      products: await products.list(LISTED_MAX),
      listedMax: LISTED_MAX,
      notice: noticeOf(request.query.done),
    }),
  )

  app.get('/products/new', (_request, reply) => showForm(reply, EMPTY))

  app.post('/products/new', async (request, reply) => {
    const product = readProduct(request.body)
    const outcome = await products.create(product, actorOf(request))
    if (outcome.kind === 'refused') return showForm(reply.code(REFUSED), product, outcome.problems)
    return reply.redirect('/admin/products?done=created', 303)
  })

  app.get<ProductRoute>('/products/:productId', async (request, reply) => {
    // The same numbers as sales have.
    const productId = readSaleId(request.params.productId)
    const product = productId && (await products.find(productId))
    return product ? showForm(reply, product, [], productId) : refuse(reply, { code: 'not-found' })
  })

  app.post<ProductRoute>('/products/:productId', async (request, reply) => {
    const productId = readSaleId(request.params.productId)
    if (!productId) return refuse(reply, { code: 'not-found' })
    const product = readProduct(request.body)
    const outcome = await products.change(productId, product, actorOf(request))
    switch (outcome.kind) {
      case 'not_found':
        return refuse(reply, { code: 'not-found' })
      case 'refused':
        return showForm(reply.code(REFUSED), product, outcome.problems, productId)
      case 'changed':
      case 'unchanged':
        return reply.redirect(`/admin/products?done=${outcome.kind}`, 303)
    }
  })

  function showForm(
    reply: FastifyReply,
    values: NewProduct,
    problems: FormProblem[] = [],
    productId?: number,
  ) {
    const title = productId === undefined ? 'New product' : `Product ${productId}`
    return showPage(reply, 'product', { title, area: 'products', values, problems, productId })
  }
}

export default productPages

function readProduct(form: unknown): NewProduct {
  return {
    title: readField(form, 'title').trim(),
    description: readLongField(form, 'description').trim(),
    imagePath: readField(form, 'imagePath').trim(),
  }
}

/** Longer than any field of a shopper's; core says how long is too long. */
function readLongField(form: unknown, name: string): string {
  const value = typeof form === 'object' && form !== null ? Reflect.get(form, name) : undefined
  return typeof value === 'string' ? value.replaceAll('\r\n', '\n') : ''
}

function noticeOf(done: unknown): string | undefined {
  if (done === 'created') return 'The product is there. Put it on sale from the list of sales.'
  if (done === 'changed') return 'The product is changed.'
  return done === 'unchanged' ? 'Nothing was different, so nothing was changed.' : undefined
}
