import { createRecentMap } from '../recent-map.ts'

export interface SoldOutFlags {
  isRaised(saleId: number): boolean
  /** By an answer of `reserve` with no units left; one that is older than the last lowering heard is ignored. */
  raise(saleId: number, epoch: number, seq: number): void
  /** Units became free: heard from Redis. */
  lower(saleId: number, epoch: number, seq: number): void
  /** After a re-subscription: whatever was said meanwhile was not heard. */
  lowerAll(): void
}

/** A flag that nobody lowers falls by itself, so a lost message costs at most this. */
export const SOLD_OUT_FLAG_TTL_MS = 1_000
const SALES_MAX = 10_000

/**
 * The cut-off in front of everything: once a sale is sold out, this process says so without asking anybody.
 *
 * A flag lives at most a second; then the next buyers go through as a probe and raise it again.
 */
export function createSoldOutFlags(now: () => number = () => performance.now()): SoldOutFlags {
  /** Until when each one stands. */
  const raised = createRecentMap<number, number>(SALES_MAX)
  const lastLowered = createRecentMap<number, { epoch: number; seq: number }>(SALES_MAX)

  return {
    isRaised(saleId) {
      const untilMs = raised.get(saleId)
      return untilMs !== undefined && now() < untilMs
    },

    raise(saleId, epoch, seq) {
      const lowered = lastLowered.get(saleId)
      // An answer that was on its way while units came back must not hide them.
      if (lowered && isOlder({ epoch, seq }, lowered)) return
      raised.set(saleId, now() + SOLD_OUT_FLAG_TTL_MS)
    },

    lower(saleId, epoch, seq) {
      const lowered = lastLowered.get(saleId)
      if (!lowered || isOlder(lowered, { epoch, seq })) lastLowered.set(saleId, { epoch, seq })
      raised.delete(saleId)
    },

    lowerAll: () => raised.clear(),
  }
}

function isOlder(a: { epoch: number; seq: number }, b: { epoch: number; seq: number }): boolean {
  return a.epoch < b.epoch || (a.epoch === b.epoch && a.seq < b.seq)
}
