import { writeAuditEntry, type Actor } from '../mysql/audit-log.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import type { Reconciliation, ReconcileSale } from './reconcile-sale.ts'

/** An operator has a sale compared and repaired now; what was found before is in the audit log. */
export type RepairSale = (saleId: number, actor: Actor) => Promise<Reconciliation | { kind: 'not_warmed' }>

export function createRepairSale({
  mysql,
  reconcile,
}: {
  mysql: Mysql
  reconcile: ReconcileSale
}): RepairSale {
  return async (saleId, actor) => {
    const report = await reconcile(saleId, { repair: false })
    if (report.kind === 'not_warmed') return report
    const { kind: _kind, isRepaired: _isRepaired, ...found } = report
    await mysql.use(({ connection }) =>
      writeAuditEntry(connection, {
        actor,
        action: 'sale.reconcile',
        subject: `sale:${saleId}`,
        details: found,
      }),
    )
    return reconcile(saleId, { repair: true })
  }
}
