import type { BenchSystem, ExtraApi } from '../system.ts'
import { fillSale } from './fill-sale.ts'

/** Where one point's purchases go, and over how many connections. */
export interface Setup {
  apis: { origin: string; pid: number }[]
  connections: number
  requests: number
  saleIds: number[]
  saleIdsOf(round: number): number[]
  /** `in turn`: every purchase is of another sale than the one before it. */
  order: 'one after the other' | 'in turn'
  /** Unsettled reservations that are there beside those to be measured. */
  filledLedger: number
  /** Puts in what is there beside; resolves with what takes it out again. */
  fill?: () => Promise<() => Promise<void>>
  /** What the shoppers of all rounds were told. */
  told: { accepted: number; unknown: number }
}

export interface Dimension {
  name: string
  title: string
  /** What is held still, and what there is to know. */
  what: string
  points: number[]
  prepare(point: number, rounds: number): Promise<Setup>
  /** The last that is done, whatever went wrong. */
  end?(): Promise<void>
  /** The stock-warmer stands still: it would repair what was filled in. */
  isWarmerStopped?: boolean
}

export interface ScaleSizes {
  connections: number
  /** Purchases of one point in one round. */
  requests: number
  processes: number[]
  manyConnections: number[]
  sales: number[]
  quotas: number[]
  filled: number[]
}

export const FULL_SIZES: ScaleSizes = {
  connections: 1_000,
  requests: 8_000,
  processes: [1, 2, 4],
  manyConnections: [100, 1_000, 4_000, 10_000],
  sales: [1, 10, 100],
  quotas: [100, 1_000, 10_000, 1_000_000],
  filled: [1, 10_000, 1_000_000],
}

export const QUICK_SIZES: ScaleSizes = {
  connections: 50,
  requests: 300,
  processes: [1, 2],
  manyConnections: [20, 100],
  sales: [1, 10],
  quotas: [100, 1_000_000],
  filled: [1, 2_000],
}

/** The cap of the ledger is 100,000: beyond it purchases are refused. What is measured must fit in beside. */
const LEDGER_MAX = 80_000
/** A sale of 100 units is over at once when more than that many buy at the same time. */
const CONNECTIONS_OF_SMALL_SALES = 100
/** A connection's first request is not counted. */
const PER_CONNECTION = 2.5

export function createDimensions(system: BenchSystem, sizes: ScaleSizes): Dimension[] {
  const { origins, pids } = system
  const { connections, requests } = sizes
  const own = { origin: origins.api, pid: pids.api }
  const usual = (saleIds: number[]): Setup => ({
    apis: [own],
    connections,
    requests,
    saleIds,
    saleIdsOf: () => saleIds,
    order: 'in turn',
    filledLedger: 0,
    told: { accepted: 0, unknown: 0 },
  })
  let extra: ExtraApi[] = []

  return [
    {
      name: 'processes',
      title: 'api processes',
      what:
        `${connections} connections over all processes. CPU is that of all of them together. On two cores several ` +
        'processes share what one had: this shows what each of them costs, not that more of them do more.',
      points: sizes.processes,
      async prepare(count, rounds) {
        if (extra.length < count - 1) extra.push(...(await system.startApis(count - 1 - extra.length)))
        const saleIds = [await system.addSale(requests * rounds)]
        return { ...usual(saleIds), apis: [own, ...extra].slice(0, count) }
      },
      async end() {
        for (const api of extra) await api.stop()
        extra = []
      },
    },
    {
      name: 'connections',
      title: 'connections',
      what: 'One api, one sale. What it costs to open a connection is not in it.',
      points: sizes.manyConnections,
      async prepare(count, rounds) {
        const enough = Math.max(requests, count * PER_CONNECTION)
        const saleIds = [await system.addSale(enough * rounds)]
        return { ...usual(saleIds), connections: count, requests: enough }
      },
    },
    {
      name: 'sales',
      title: 'sales at the same time',
      what: `One api, ${connections} connections; every purchase is of another sale than the one before it.`,
      points: sizes.sales,
      async prepare(count, rounds) {
        const quota = Math.ceil((requests * rounds) / count)
        return usual(await system.addSales(count, quota))
      },
    },
    {
      name: 'quota',
      title: 'units of a sale',
      what:
        `One api, ${CONNECTIONS_OF_SMALL_SALES} connections. As many sales one after the other as it takes to sell ` +
        `${requests} units; of a larger quota that many are sold.`,
      points: sizes.quotas,
      async prepare(quota, rounds) {
        const ofRound = Math.ceil(requests / quota)
        const saleIds = await system.addSales(ofRound * rounds, quota)
        return {
          ...usual(saleIds),
          saleIdsOf: (round) => saleIds.slice(round * ofRound, (round + 1) * ofRound),
          connections: Math.min(connections, CONNECTIONS_OF_SMALL_SALES),
          order: 'one after the other',
        }
      },
    },
    {
      name: 'filled',
      title: 'holds and holders that are there already',
      what:
        `One api, ${connections} connections, one sale with so many holds and holders, and as many unsettled ` +
        `reservations up to ${LEDGER_MAX.toLocaleString('en')}: with 100,000 a sale takes no more, by design. They are written ` +
        'straight into Redis, and the stock-warmer stands still meanwhile, because it would free what has no order.',
      points: sizes.filled,
      isWarmerStopped: true,
      async prepare(count, rounds) {
        const saleId = await system.addSale(requests * rounds)
        const filledLedger = Math.min(count, LEDGER_MAX)
        const fill = () => fillSale(system.stores.redis, saleId, { holds: count, ledger: filledLedger })
        return { ...usual([saleId]), filledLedger, fill }
      },
    },
  ]
}
