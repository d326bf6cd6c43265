import { setTimeout as pause } from 'node:timers/promises'

import { auditMoment, type AuditedStores } from '../audit.ts'

const EVERY_MS = 250

export interface Watch {
  /** @returns what was violated at any moment, and how often the stores were looked at. */
  stop(): Promise<{ violations: string[]; looks: number }>
}

/** Looks at I1, I2 and the rule of units again and again while everything breaks. */
export function startWatch(stores: AuditedStores, saleId: number): Watch {
  const violations = new Set<string>()
  let looks = 0
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      const moment = await auditMoment(stores, saleId).catch(() => ({ violations: [], storesRead: 0 }))
      for (const violation of moment.violations) violations.add(violation)
      looks += moment.storesRead
      await pause(EVERY_MS)
    }
  })()
  return {
    async stop() {
      isOver = true
      await watching
      return { violations: [...violations], looks }
    },
  }
}
