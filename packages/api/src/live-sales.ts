import { Readable } from 'node:stream'

import type { Logger } from '@blitzbuy/core/log'
import type { ReadSaleFigures, SaleFigures } from '@blitzbuy/core/order/sale-figures'
import type { LookAtQueue } from '@blitzbuy/core/rabbitmq/queue-look'
import { repeat, type Repeating } from '@blitzbuy/core/repeat'
import type { RedisClock } from '@blitzbuy/core/redis/redis-clock'
import type { ReadStocks, StockSnapshot } from '@blitzbuy/core/stock/read-stock'

import type { AttemptLog, AttemptSecond, AttemptTimes } from './attempt-log.ts'
import type { Refusal } from './refusals.ts'

/** How a sale stands at one moment, over all instances. */
export interface LiveFigures {
  atMs: number
  /** Undefined where Redis has no copy. */
  stock: Pick<StockSnapshot, 'state' | 'unitsLeft' | 'quota'> | undefined
  /** Tries of the last full second. */
  lastSecond: AttemptSecond
  /** Those before it that no look has told of, because one look comes a little more than a second after the other. */
  skipped: AttemptSecond[]
  /** Of the last ten seconds. */
  times: AttemptTimes | undefined
  /** From here on a few seconds old: these cost MySQL and RabbitMQ something. */
  figures: SaleFigures | undefined
  /** Messages that wait for a worker; undefined while RabbitMQ does not answer. */
  queueDepth: number | undefined
}

export interface LiveHistory {
  /** The last five minutes; a second without tries is missing. */
  seconds: AttemptSecond[]
  toSecond: number
}

/** Who watches. Asked again and again: whoever may no longer see it sees no more of it. */
export interface Watcher {
  saleId: number
  mayWatch(): Promise<boolean>
}

export interface LiveSales {
  /** Once, for a page without a script. */
  look(saleId: number): Promise<{ now: LiveFigures; history: LiveHistory }>
  /** A stream of server-sent events: the history, then the figures once a second. */
  open(watcher: Watcher): Promise<Readable | Refusal>
  /** Ends all streams, and opens no more. */
  drain(): void
  close(): Promise<void>
}

const EVERY_MS = 1_000
/** How often what costs MySQL something is read, and how often watchers are asked whether they still may. */
const SLOW_EVERY = 5
const HISTORY_SECONDS = 300
/** By then every instance has written what it counted in a second. */
const SETTLED_SECONDS = 2
const TIMES_SECONDS = 10
const STREAMS_MAX = 100
const RETRY_MS = 3_000

interface Watched {
  streams: Map<Readable, Watcher>
  slow: Pick<LiveFigures, 'figures' | 'queueDepth'>
  /** The newest second that all streams were told of. */
  toldSecond: number
}

/** However many operators watch a sale on this instance, it is looked at once a second; a sale that nobody watches never. */
export function createLiveSales(deps: {
  attempts: AttemptLog
  readStocks: ReadStocks
  readFigures: ReadSaleFigures
  lookAtQueue: LookAtQueue
  clock: Pick<RedisClock, 'nowMs'>
  log: Logger
}): LiveSales {
  const { attempts, readStocks, readFigures, lookAtQueue, clock, log } = deps
  const watched = new Map<number, Watched>()
  let looking: Repeating | undefined
  let turn = 0
  let isDraining = false

  async function readSlow(saleId: number): Promise<Watched['slow']> {
    const [figures, queue] = await Promise.all([
      readFigures([saleId]).then(
        ([own]) => own,
        () => undefined,
      ),
      lookAtQueue(),
    ])
    return { figures, queueDepth: queue?.readyCount }
  }

  async function readNow(saleId: number, slow: Watched['slow'], toldSecond = Infinity): Promise<LiveFigures> {
    const atMs = clock.nowMs()
    const second = Math.floor(atMs / 1000) - SETTLED_SECONDS
    const [[stock], seconds, times] = await Promise.all([
      readStocks([saleId]),
      attempts.read(saleId, Math.min(second, toldSecond + 1), second),
      attempts.readTimes(second - TIMES_SECONDS + 1, second),
    ])
    return {
      atMs,
      stock: stock && { state: stock.state, unitsLeft: stock.unitsLeft, quota: stock.quota },
      lastSecond: seconds.find((one) => one.second === second) ?? { second, outcomes: {} },
      skipped: seconds.filter((one) => one.second < second),
      times,
      ...slow,
    }
  }

  async function readHistory(saleId: number): Promise<LiveHistory> {
    const toSecond = Math.floor(clock.nowMs() / 1000) - SETTLED_SECONDS
    return { seconds: await attempts.read(saleId, toSecond - HISTORY_SECONDS + 1, toSecond), toSecond }
  }

  async function lookAtAll(): Promise<void> {
    const isSlowTurn = turn % SLOW_EVERY === 0
    turn += 1
    await Promise.all(
      [...watched].map(async ([saleId, sale]) => {
        if (isSlowTurn) await sendAway(sale)
        if (isSlowTurn) sale.slow = await readSlow(saleId)
        const figures = await readNow(saleId, sale.slow, sale.toldSecond)
        sale.toldSecond = figures.lastSecond.second
        for (const stream of sale.streams.keys()) send(stream, 'figures', figures)
      }),
    )
  }

  async function sendAway({ streams }: Watched): Promise<void> {
    for (const [stream, watcher] of streams) {
      // Whether they may is not known while a store is away: then there is nothing to see either.
      const mayWatch = await watcher.mayWatch().catch(() => true)
      if (!mayWatch) end(stream, 'login')
    }
  }

  function forget(saleId: number, stream: Readable): void {
    const sale = watched.get(saleId)
    if (!sale?.streams.delete(stream)) return
    if (sale.streams.size === 0) watched.delete(saleId)
    if (watched.size > 0) return
    const last = looking
    looking = undefined
    void last?.close()
  }

  const streamCount = (): number => [...watched.values()].reduce((sum, { streams }) => sum + streams.size, 0)

  return {
    async look(saleId) {
      const [now, history] = await Promise.all([
        readSlow(saleId).then((slow) => readNow(saleId, slow)),
        readHistory(saleId),
      ])
      return { now, history }
    },

    async open(watcher) {
      if (isDraining) return { code: 'draining', retryAfterMs: EVERY_MS }
      if (streamCount() >= STREAMS_MAX) return { code: 'overloaded', retryAfterMs: RETRY_MS }
      const { saleId } = watcher
      const [history, slow] = await Promise.all([readHistory(saleId), readSlow(saleId)])
      const stream = new Readable({ read() {} })
      const sale = watched.get(saleId) ?? {
        streams: new Map<Readable, Watcher>(),
        slow,
        toldSecond: history.toSecond,
      }
      sale.streams.set(stream, watcher)
      watched.set(saleId, sale)
      stream.once('close', () => forget(saleId, stream))
      stream.push(`retry: ${RETRY_MS}\n\n`)
      send(stream, 'history', history)
      send(stream, 'figures', await readNow(saleId, slow))
      if (isDraining) end(stream)
      else looking ??= repeat('look at sales that are watched', EVERY_MS, lookAtAll, log)
      return stream
    },

    drain() {
      isDraining = true
      for (const { streams } of watched.values()) for (const stream of streams.keys()) end(stream)
    },

    async close() {
      await looking?.close()
    },
  }
}

function send(stream: Readable, event: string, data: unknown): void {
  if (!stream.destroyed && !stream.readableEnded)
    stream.push(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
}

/** @param why told to the page, which would else come back again and again */
function end(stream: Readable, why?: 'login'): void {
  if (why) send(stream, why, {})
  stream.push(null)
}
