import { createBlacklistEntries } from '@blitzbuy/core/gate/blacklist-entries'
import { networkSubject, userSubject } from '@blitzbuy/core/gate/blacklist-subject'
import { parseNetwork } from '@blitzbuy/core/ip-address'
import { createSales } from '@blitzbuy/core/sale/sales'
import type { Redis } from '@blitzbuy/core/redis/connect-redis'
import type { RowDataPacket } from 'mysql2/promise'
import { beforeAll, describe, expect, it, vi } from 'vitest'

import { addWarmSale } from '../../core/test/own-stores.ts'
import { createShopperMaker, type Shopper } from '../../../scripts/blitz/make-shoppers.ts'
import { createTokenMaker } from '../../../scripts/blitz/make-tokens.ts'
import { newAddress, PUBLIC_ORIGIN, useOwnApi } from './own-api.ts'

const SALE_TRIES = 40
const api = useOwnApi({
  LIMIT_PURCHASE_USER: '5/60',
  LIMIT_PURCHASE_ADDRESS: '5/60',
  RULE_LIMIT_BREACH: 'off',
  RULE_LIMIT_BREACH_ADDRESS: 'off',
})

interface Buyer extends Shopper {
  purchaseToken: string
  address: string
}

/** What the api said to its stores. */
interface Trips {
  redis: string[][]
  /** Its connections to MySQL that asked for anything. */
  mysql: number
}

let saleId = 0
let maker: Awaited<ReturnType<typeof createShopperMaker>>
beforeAll(async () => {
  maker = await createShopperMaker({
    ...api.stores,
    sessionSecrets: ['s'.repeat(32)],
    publicOrigin: PUBLIC_ORIGIN,
  })
  saleId = await addWarmSale(api.stores, { quota: 1_000 })
}, 30_000)

/** Shoppers with purchase tokens, who were here a moment ago. */
async function warmBuyers(count: number): Promise<Buyer[]> {
  const { mysql, redis } = api.stores
  const made = await maker.makeAll(count)
  const tokens = await createTokenMaker(saleId, {
    redis,
    sales: createSales(mysql),
    purchaseTokenSecrets: ['p'.repeat(32)],
  })
  const purchaseTokens = await tokens.makeTokens(made.map(({ userId }) => userId))
  return made.map((shopper, at) => ({
    ...shopper,
    purchaseToken: purchaseTokens[at] ?? '',
    address: newAddress(),
  }))
}

/** The session is read once, for a page: from then on this instance has a copy of its own. */
const visit = (buyers: readonly Buyer[]) =>
  Promise.all(buyers.map(({ cookie }) => api.app.inject({ url: '/api/v1/me', headers: { cookie } })))

const buy = ({ cookie, purchaseToken, address }: Buyer) =>
  api.app.inject({
    method: 'POST',
    url: `/api/v1/sales/${saleId}/orders`,
    headers: {
      cookie,
      'x-forwarded-for': address,
      ...(purchaseToken && { 'x-purchase-token': purchaseToken }),
    },
  })

async function statusesOf(answers: Promise<{ statusCode: number }>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { statusCode } of await Promise.all(answers)) counts[statusCode] = (counts[statusCode] ?? 0) + 1
  return counts
}

/** Every command that the api's connection sends while `work` runs, but for those its timers send anyway. */
async function tripsDuring(work: () => Promise<unknown>): Promise<Trips> {
  const { redis } = api.core
  const port = localPort(redis)
  const said: string[][] = []
  const monitor = await api.stores.redis.duplicate().monitor()
  monitor.on('monitor', (_time: string, command: string[], source: string) => {
    if (source.endsWith(`:${port}`)) said.push(command)
  })
  try {
    await echoed('begin')
    const statementsBefore = await lastStatements()
    said.length = 0
    await work()
    await echoed('end')
    const statements = await lastStatements()
    expect(localPort(redis)).toBe(port)
    return {
      redis: said.filter((command) => !isEcho(command) && !isOfTimer(command)),
      mysql: [...statements].filter(([id, last]) => statementsBefore.get(id) !== last).length,
    }
  } finally {
    monitor.disconnect()
  }

  /** On the same connection, so that all before it has been seen when it is. */
  async function echoed(mark: string): Promise<void> {
    await redis.echo(mark)
    await vi.waitFor(
      () => expect(said.some((command) => isEcho(command) && command[1] === mark)).toBe(true),
      {
        timeout: 10_000,
      },
    )
  }
}

const localPort = (redis: Redis): number | undefined =>
  (redis as unknown as { stream: { localPort?: number } }).stream.localPort

const isEcho = ([name]: string[]): boolean => name?.toLowerCase() === 'echo'

/** Once a second, whatever the number of purchases: is the blacklist still the same, and how many have tried. */
function isOfTimer([name = '', key = '']: string[]): boolean {
  return (
    (/^get$/i.test(name) && key.endsWith('{blacklist}:version')) ||
    (/^(hincrby|expire)$/i.test(name) && /attempt(s|-times):\d+$/.test(key))
  )
}

/** The number of the last statement of each connection of this database, the asking one's own left out. */
async function lastStatements(): Promise<Map<number, string>> {
  const rows = await api.stores.mysql.use(async ({ connection }) => {
    const [found] = await connection.query<(RowDataPacket & { id: number; last: string })[]>(
      `SELECT id, query_id AS last FROM information_schema.processlist
       WHERE db = DATABASE() AND id <> CONNECTION_ID()`,
    )
    return found
  }, 10_000)
  return new Map(rows.map(({ id, last }) => [id, String(last)]))
}

describe('the gate makes no trip to any store', () => {
  // A local copy of a session is believed for five seconds: where the machine stands still for so long, once more.
  const atMostThrice = { retry: 2, timeout: 60_000 }

  it('for a purchase that the blacklist refuses', atMostThrice, async () => {
    const buyers = await warmBuyers(2)
    const [ofUser, ofAddress] = buyers as [Buyer, Buyer]
    const network = parseNetwork(ofAddress.address)
    if (!network) throw new Error(`${ofAddress.address} is no address`)
    const why = { cause: 'operator', reason: 'test' }
    await createBlacklistEntries(api.stores.redis).put([
      { subject: userSubject(ofUser.userId), ...why },
      { subject: networkSubject(network), ...why },
    ])
    // The entry ends their session; one that outlives it, for a moment, still buys nothing.
    await vi.waitFor(async () => expect((await buy(ofUser)).statusCode).toBe(401), { timeout: 10_000 })
    ofUser.cookie = await maker.logInAgain(ofUser)
    ofUser.address = newAddress()
    expect(await statusesOf(buyers.map(buy))).toEqual({ 403: 2 })
    const trips = await tripsDuring(async () => {
      expect(await statusesOf(buyers.flatMap((buyer) => [buy(buyer), buy(buyer)]))).toEqual({ 403: 4 })
    })
    expect(trips).toEqual({ redis: [], mysql: 0 })
  })

  it('for a purchase that the limit of the user or of the address refuses', atMostThrice, async () => {
    const buyers = (await warmBuyers(2)).map((buyer) => ({ ...buyer, purchaseToken: '' }))
    const [sameUser, sameAddress] = buyers as [Buyer, Buyer]
    await visit(buyers)
    const trips = await tripsDuring(async () => {
      const ofUser = Array.from({ length: SALE_TRIES }, () => buy({ ...sameUser, address: newAddress() }))
      expect(await statusesOf(ofUser)).toEqual({ 403: 5, 429: SALE_TRIES - 5 })
      const ofAddress = Array.from({ length: SALE_TRIES }, () => buy(sameAddress))
      expect(await statusesOf(ofAddress)).toEqual({ 403: 5, 429: SALE_TRIES - 5 })
    })
    expect(trips).toEqual({ redis: [], mysql: 0 })
  })

  it(
    'for a purchase whose token is somebody else’s, but to count it against them',
    atMostThrice,
    async () => {
      const buyers = await warmBuyers(SALE_TRIES)
      await visit(buyers)
      const trips = await tripsDuring(async () => {
        const swapped = buyers.map((buyer, at) => buy({ ...buyer, ...tokenOf(buyers.at(at - 1)) }))
        expect(await statusesOf(swapped)).toEqual({ 403: SALE_TRIES })
      })
      expect(trips.mysql).toBe(0)
      expect(
        new Set(trips.redis.map((command) => command.some((word) => word.includes('strikes:token-misuse')))),
      ).toEqual(new Set([true]))
      expect(trips.redis).toHaveLength(SALE_TRIES)
    },
  )

  it('for purchases that pass: all of them share the calls of reserve', atMostThrice, async () => {
    const buyers = await warmBuyers(SALE_TRIES)
    await visit(buyers)
    const trips = await tripsDuring(async () => {
      expect(await statusesOf(buyers.map(buy))).toEqual({ 202: SALE_TRIES })
    })
    expect(trips.mysql).toBe(0)
    expect(new Set(trips.redis.map(([name, , , key]) => `${name?.toLowerCase()} ${key}`))).toEqual(
      new Set([`evalsha ${api.stores.namespace}:{sale:${saleId}}:stock`]),
    )
    expect(trips.redis.length).toBeLessThan(SALE_TRIES / 2)
  })
})

function tokenOf(buyer: Buyer | undefined): Pick<Buyer, 'purchaseToken'> {
  return { purchaseToken: buyer?.purchaseToken ?? '' }
}
