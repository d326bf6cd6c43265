import type { HandOff } from '@blitzbuy/core/reservation/hand-off'
import type { Reserve } from '@blitzbuy/core/stock/reserve'
import { during, type Span, type Tracing } from '@blitzbuy/core/tracing/tracing'

/**
 * The steps of a purchase as spans, each put around its step where it is wired: the steps themselves know of none.
 *
 * A batch belongs to many purchases: it is a span of the first one's trace, linked with the others, and they with it.
 */
export interface PurchaseTraces {
  began(requestId: string, span: Span): void
  ended(requestId: string): void
  reserve(reserve: Reserve): Reserve
  handOff(handOff: HandOff): HandOff
}

export function createPurchaseTraces(tracing: Tracing): PurchaseTraces {
  /** Of the purchases that are traced and not answered yet, by request id. */
  const open = new Map<string, Span>()

  function beginBatch(
    name: string,
    kind: 'client' | 'producer',
    saleId: number,
    buyers: readonly { requestId: string }[],
  ): Span | undefined {
    const purchases = buyers.map(({ requestId }) => open.get(requestId)).filter((span) => span !== undefined)
    const causes = purchases.map(({ traceparent }) => traceparent)
    const attributes = { 'blitzbuy.sale_id': saleId, 'blitzbuy.reservations': buyers.length }
    const span = tracing.beginBelow(causes, name, { kind, attributes })
    if (span) for (const other of purchases.slice(1)) other.link(span.traceparent)
    return span
  }

  return {
    began: (requestId, span) => void open.set(requestId, span),
    ended: (requestId) => void open.delete(requestId),
    reserve: (reserve) => (saleId, deadlineMs, requests) => {
      const span = beginBatch('reserve', 'client', saleId, requests)
      const reserved = reserve(saleId, deadlineMs, requests)
      return span ? during(span, reserved) : reserved
    },
    handOff(handOff) {
      const traced = async (...[message]: Parameters<HandOff>) => {
        const span = beginBatch('publish reservations.made', 'producer', message.saleId, message.reservations)
        if (!span) return handOff(message)
        const handedOff = handOff(message, { traceparent: span.traceparent })
        const told = handedOff.then((handoff) => {
          span.set({ 'blitzbuy.handoff': handoff })
          return handoff
        })
        return during(span, told)
      }
      return Object.assign(traced, { keptCount: () => handOff.keptCount(), close: () => handOff.close() })
    },
  }
}
