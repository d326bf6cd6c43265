import { totpAt } from '@blitzbuy/core/user/totp'
import { createWarmSale } from '@blitzbuy/core/stock/warm-sale'
import type { RowDataPacket } from 'mysql2'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { seedDemo } from '../../../scripts/seed/seed-demo.ts'
import { useOwnApi } from './own-api.ts'

const api = useOwnApi()
const seed = () =>
  seedDemo({
    mysqlUrl: api.stores.mysqlUrl,
    redisUrl: api.stores.redisUrl,
    secondFactorSecrets: [api.config.SECOND_FACTOR_SECRETS],
  })
const query = async (sql: string) => {
  const [rows] = await api.stores.mysql.use(({ connection }) => connection.query<RowDataPacket[]>(sql))
  return rows
}
const phases = async () => (await api.core.saleViews.list()).map((sale) => sale.phase)

afterEach(() => vi.unstubAllEnvs())

describe('demo data', () => {
  it('is refused in production, and leaves nothing', async () => {
    vi.stubEnv('NODE_ENV', 'production')
    await expect(seed()).rejects.toThrow('NODE_ENV=production')
    expect(await query('SELECT id FROM users')).toEqual([])
  })

  it('shows every phase but paused, and a sold-out sale that is really sold', async () => {
    const { salesAdded } = await seed()
    for (const { saleId } of await api.stores.sales.listToWarm(7 * 24 * 3_600_000)) {
      await createWarmSale(api.stores).build(saleId)
    }
    await vi.waitFor(async () =>
      expect(new Set(await phases())).toEqual(new Set(['open', 'upcoming', 'sold_out', 'ended'])),
    )
    expect(await phases()).toHaveLength(salesAdded)
    const wrong = await query(
      `SELECT sales.id FROM sales LEFT JOIN orders ON orders.sale_id = sales.id AND live = 1
        GROUP BY sales.id HAVING COALESCE(SUM(orders.quantity), 0) <> MAX(units_sold)`,
    )
    expect(wrong).toEqual([])
    const unpaid = await query(
      'SELECT orders.id FROM orders LEFT JOIN payments ON payments.order_id = orders.id WHERE payments.id IS NULL',
    )
    expect(unpaid).toEqual([])
  })

  it('of an earlier start goes on; only the passwords are new', async () => {
    const first = await seed()
    const second = await seed()
    expect(second.salesAdded).toBe(0)
    expect(await query('SELECT title FROM products GROUP BY title HAVING COUNT(*) > 1')).toEqual([])
    const logIn = (credentials: { phone: string; password: string }) =>
      api.core.logIn({ ...credentials, address: '127.0.0.1' })
    expect(await logIn(first.shopper)).toEqual({ kind: 'credentials_invalid' })
    expect(await logIn(second.shopper)).toMatchObject({ account: { role: 'shopper' } })
    const operator = await logIn(second.operator)
    expect(operator).toMatchObject({ account: { role: 'operator' } })
    expect(second.operator.secondFactor.secret).toBe(first.operator.secondFactor.secret)
    const userId = operator.kind === 'logged_in' ? operator.account.userId : 0
    const show = (code: string) => api.core.operators.secondFactors.verify(userId, code)
    expect(await show(first.operator.secondFactor.recoveryCode)).toMatchObject({ kind: 'incorrect' })
    expect(await show(second.operator.secondFactor.recoveryCode)).toEqual({ kind: 'verified' })
    const code = totpAt(second.operator.secondFactor.secret, Date.now())
    expect(await show(code)).toEqual({ kind: 'verified' })
  })

  it('is fresh again when no sale is open any more', async () => {
    await query("UPDATE sales SET state = 'closed' WHERE opens_at < UTC_TIMESTAMP(3)")
    expect((await seed()).salesAdded).toBeGreaterThan(0)
    expect(await query('SELECT title FROM products GROUP BY title HAVING COUNT(*) > 1')).toEqual([])
  })
})
