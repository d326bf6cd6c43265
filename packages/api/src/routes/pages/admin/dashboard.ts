import { salePhase } from '@blitzbuy/core/sale/sale-phase'
import type { FastifyPluginAsync } from 'fastify'

import { showPage } from './show-page.ts'

const SALES_SHOWN = 12
const ENTRIES_SHOWN = 8
const SALES_LOOKED_AT = 200

/** What somebody wants to know who has just sat down: what runs, what is wrong, what the others did. */
const dashboardPages: FastifyPluginAsync = async (app) => {
  const { operators, clock, checks } = app.core
  const { sales, readFigures, auditLog, deadLetters } = operators

  app.get('/', { prefixTrailingSlash: 'no-slash' }, async (_request, reply) => {
    const [stores, deadLetterCount, found, audit] = await Promise.all([
      readStores(),
      deadLetters.count().catch(() => undefined),
      sales.list(SALES_LOOKED_AT),
      auditLog({}, ENTRIES_SHOWN),
    ])
    const nowMs = clock.nowMs()
    const current = found.filter((sale) => salePhase(sale, undefined, nowMs) !== 'ended')
    const shown = current.slice(0, SALES_SHOWN)
    const figures = await readFigures(shown.map(({ saleId }) => saleId)).catch(() => [])
    const byId = new Map(figures.map((own) => [own.saleId, own]))
    return showPage(reply, 'dashboard', {
      title: 'Dashboard',
      area: 'dashboard',
      stores: [...stores, { name: 'rabbitmq', isHere: deadLetterCount !== undefined }],
      deadLetterCount,
      sales: shown.map((sale) => {
        const own = byId.get(sale.saleId)
        return { ...sale, figures: own, phase: salePhase(sale, own?.stock?.unitsLeft, nowMs) }
      }),
      moreCount: current.length - shown.length,
      entries: audit.entries,
      nowMs,
    })
  })

  function readStores(): Promise<{ name: string; isHere: boolean }[]> {
    return Promise.all(
      Object.entries(checks).map(([name, check]) =>
        check().then(
          () => ({ name, isHere: true }),
          () => ({ name, isHere: false }),
        ),
      ),
    )
  }
}

export default dashboardPages
