import type { Logger } from 'pino'

import type { PublishReservations } from '../rabbitmq/publish.ts'
import type { ReservationsMade } from './reservations-made.ts'

/**
 * How sure the hand-off of a reservation is: the broker has confirmed it, or only Redis' ledger has it, and it
 * will be published again.
 */
export type Handoff = 'confirmed' | 'ledger'

export interface HandOff {
  (message: ReservationsMade): Promise<Handoff>
  /** Batches kept in memory until they are confirmed. */
  keptCount(): number
  /** Ends the background publishing; what is still kept stands in Redis' ledger. */
  close(): Promise<void>
}

const CONFIRM_DEADLINE_MS = 1_000
const REPUBLISH_DEADLINE_MS = 5_000
const REPUBLISH_PAUSE_MS = 250
/** Beyond this the relay alone publishes again, from the ledger. */
const KEPT_MAX = 1_000

/**
 * Publishes each batch of reservations; a batch whose confirm is not in hand in time is kept and published until
 * it is. Meanwhile later batches do not wait for a broker that is known to be slow or away.
 */
export function createHandOff(deps: { publish: PublishReservations; log: Logger }): HandOff {
  const { publish, log } = deps
  const kept: Buffer[] = []
  let republishing: Promise<void> | undefined
  let closing = false
  let wake: () => void = () => undefined

  const keep = (body: Buffer): 'ledger' => {
    if (kept.length < KEPT_MAX) kept.push(body)
    if (!closing) republishing ??= republish().finally(() => (republishing = undefined))
    return 'ledger'
  }

  async function republish(): Promise<void> {
    while (kept.length > 0 && !closing) {
      try {
        await publish(kept[0] as Buffer, REPUBLISH_DEADLINE_MS)
        kept.shift()
      } catch (error) {
        log.debug({ err: error, kept: kept.length }, 'publishing again failed')
        await new Promise<void>((resolve) => {
          wake = resolve
          setTimeout(resolve, REPUBLISH_PAUSE_MS)
        })
      }
    }
  }

  const handOff = async (message: ReservationsMade): Promise<Handoff> => {
    const body = Buffer.from(JSON.stringify(message))
    if (kept.length > 0) return keep(body)
    try {
      await publish(body, CONFIRM_DEADLINE_MS)
      return 'confirmed'
    } catch (error) {
      log.warn({ err: error, saleId: message.saleId }, 'no confirm; the ledger has the reservations')
      return keep(body)
    }
  }

  return Object.assign(handOff, {
    keptCount: () => kept.length,
    async close() {
      closing = true
      wake()
      await republishing
    },
  })
}
