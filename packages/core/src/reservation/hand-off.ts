import type { Logger } from 'pino'

import type { PublishReservations, ReservationHeaders } from '../rabbitmq/publish.ts'
import { requestsOf, type ReservationsMade } from './reservations-made.ts'

/**
 * How sure the hand-off of a reservation is: the broker has confirmed it, or only Redis' ledger has it, and it
 * will be published again.
 */
export type Handoff = 'confirmed' | 'ledger'

export interface HandOff {
  (message: ReservationsMade, headers?: ReservationHeaders): Promise<Handoff>
  /** Batches kept in memory until they are confirmed. */
  keptCount(): number
  /** Ends the background publishing; what is still kept stands in Redis' ledger. */
  close(): Promise<void>
}

const CONFIRM_DEADLINE_MS = 1_000
const REPUBLISH_DEADLINE_MS = 5_000
const REPUBLISH_PAUSE_MS = 250
/** As many as are published again at once; fewer than the broker's channels, so that new batches find one. */
const REPUBLISH_AT_ONCE = 16
/** About 400,000 reservations. Beyond this the relay alone publishes again, from the ledger. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024

/**
 * Publishes each batch of reservations; a batch whose confirm is not in hand in time is kept and published until
 * it is.
 *
 * From the first missing confirm to the next one that comes, new batches do not wait for the broker at all: they
 * are kept, and their buyers are told `ledger` at once.
 */
export function createHandOff(deps: { publish: PublishReservations; log: Logger }): HandOff {
  const { publish, log } = deps
  const kept = new Map<Buffer, ReservationHeaders | undefined>()
  let keptBytes = 0
  let isBrokerSilent = false
  let republishing: Promise<void> | undefined
  let closing = false
  let wake: () => void = () => undefined

  const keep = (body: Buffer, headers: ReservationHeaders | undefined): 'ledger' => {
    if (keptBytes + body.length <= KEPT_BYTES_MAX) {
      kept.set(body, headers)
      keptBytes += body.length
    }
    if (!closing) republishing ??= republish().finally(() => (republishing = undefined))
    return 'ledger'
  }

  const publishAgain = async ([body, headers]: [Buffer, ReservationHeaders | undefined]): Promise<void> => {
    await publish(body, REPUBLISH_DEADLINE_MS, headers)
    kept.delete(body)
    keptBytes -= body.length
    isBrokerSilent = false
  }

  async function republish(): Promise<void> {
    while (kept.size > 0 && !closing) {
      const some = [...kept].slice(0, REPUBLISH_AT_ONCE)
      const results = await Promise.allSettled(some.map(publishAgain))
      const failed = results.find((result) => result.status === 'rejected')
      if (!failed) continue
      log.debug({ err: failed.reason as unknown, kept: kept.size }, 'publishing again failed')
      await new Promise<void>((resolve) => {
        wake = resolve
        setTimeout(resolve, REPUBLISH_PAUSE_MS)
      })
    }
  }

  const handOff = async (message: ReservationsMade, headers?: ReservationHeaders): Promise<Handoff> => {
    const body = Buffer.from(JSON.stringify(message))
    if (isBrokerSilent) return keep(body, headers)
    try {
      await publish(body, CONFIRM_DEADLINE_MS, headers)
      if (log.isLevelEnabled('debug'))
        log.debug({ saleId: message.saleId, orders: requestsOf(message) }, 'handed off')
      return 'confirmed'
    } catch (error) {
      log.warn(
        { err: error, saleId: message.saleId, orders: requestsOf(message) },
        'no confirm; the ledger has the reservations',
      )
      isBrokerSilent = true
      return keep(body, headers)
    }
  }

  return Object.assign(handOff, {
    keptCount: () => kept.size,
    async close() {
      closing = true
      wake()
      await republishing
    },
  })
}
