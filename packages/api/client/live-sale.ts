import uPlot from 'uplot'

/** What /api/v1/admin/sales/:saleId/events tells. */
interface Second {
  second: number
  outcomes: Record<string, number>
}
interface History {
  seconds: Second[]
  toSecond: number
}
interface Figures {
  atMs: number
  stock?: { state: string; unitsLeft: number; quota: number }
  lastSecond: Second
  skipped: Second[]
  times?: { p50Ms: number; p99Ms: number }
  figures?: {
    unsettledCount: number
    unsettledOldestMs: number
    awaitingPaymentUnits: number
    paidUnits: number
    oversoldUnits: number
    driftUnits?: number
  }
  queueDepth?: number
}

const HISTORY_SECONDS = 300
/** Who wants less motion gets new figures every so often. */
const CALM_EVERY_MS = 5_000
const CHART_HEIGHT = 240
const ACCEPTED = new Set(['reserved', 'already_reserved'])
const OTHER = 'other refusals'

/** Keeps the live page of a sale live; everything it shows stands there as text, too. */
export function watchSale(page: HTMLElement): void {
  const seconds = new Map<number, Record<string, number>>()
  let toSecond = 0
  let latest: Figures | undefined
  let isPaused = false
  let shownAtMs = 0
  const isCalm = matchMedia('(prefers-reduced-motion: reduce)').matches
  const chart = createChart(page)

  const source = new EventSource(page.dataset['live'] ?? '')
  const status = part(page, 'status')
  const pause = page.querySelector<HTMLButtonElement>('[data-pause]')
  const say = (text: string): void => {
    if (status.textContent !== text) status.textContent = text
  }

  source.addEventListener('history', (event) => {
    const history = JSON.parse((event as MessageEvent<string>).data) as History
    seconds.clear()
    for (const { second, outcomes } of history.seconds) seconds.set(second, outcomes)
    toSecond = history.toSecond
    shownAtMs = 0
  })
  source.addEventListener('figures', (event) => {
    latest = JSON.parse((event as MessageEvent<string>).data) as Figures
    const { second, outcomes } = latest.lastSecond
    for (const earlier of latest.skipped) seconds.set(earlier.second, earlier.outcomes)
    seconds.set(second, outcomes)
    toSecond = Math.max(toSecond, second)
    seconds.delete(toSecond - HISTORY_SECONDS)
    if (!isPaused) say('Live')
    const isDue = !isCalm || performance.now() - shownAtMs >= CALM_EVERY_MS
    if (!isPaused && isDue) show()
  })
  source.addEventListener('login', () => {
    source.close()
    location.reload()
  })
  source.addEventListener('error', () =>
    say(
      source.readyState === EventSource.CLOSED ? 'Stopped: reload the page' : 'No connection; trying again',
    ),
  )

  if (pause) {
    pause.hidden = false
    pause.addEventListener('click', () => {
      isPaused = !isPaused
      pause.setAttribute('aria-pressed', String(isPaused))
      pause.textContent = isPaused ? 'Go on' : 'Pause updates'
      say(isPaused ? 'Paused: the figures stand still, the sale does not' : 'Live')
      if (!isPaused) show()
    })
  }
  // An open stream in a tab that nobody sees takes one of the six connections of a browser.
  addEventListener('pagehide', () => source.close())
  addEventListener('resize', () => chart.resize())

  function show(): void {
    if (!latest) return
    shownAtMs = performance.now()
    const { stock, times, figures, queueDepth, lastSecond } = latest
    const accepted = sum(lastSecond.outcomes, (name) => ACCEPTED.has(name))
    const refused = sum(lastSecond.outcomes, (name) => !ACCEPTED.has(name))
    write('unitsLeft', stock && Math.max(0, stock.unitsLeft), 'not warmed')
    write('quota', stock?.quota)
    write('accepted', accepted)
    write('refused', refused)
    write('unsettled', figures?.unsettledCount)
    write('oldest', figures && Math.round(figures.unsettledOldestMs / 1000))
    write('queue', queueDepth, 'unknown')
    write('drift', figures?.driftUnits)
    write('oversold', figures?.oversoldUnits)
    write('paid', figures?.paidUnits)
    write('toBePaid', figures?.awaitingPaymentUnits)
    write('p50', times?.p50Ms)
    write('p99', times?.p99Ms)
    part(page, 'at').textContent = new Date(latest.atMs).toISOString().slice(11, 19)
    for (const [name, isBad] of [
      ['drift', Boolean(figures?.driftUnits)],
      ['oversold', Boolean(figures?.oversoldUnits)],
    ] as const)
      part(page, name).closest('.tile')?.classList.toggle('tile-bad', isBad)
    showTable()
    chart.draw(seconds, toSecond)
  }

  function write(name: string, value: number | undefined, otherwise = '–'): void {
    part(page, name).textContent = value === undefined ? otherwise : value.toLocaleString('en-US')
  }

  function showTable(): void {
    const rows = page.querySelectorAll<HTMLElement>('[data-outcome]')
    for (const row of rows) {
      const name = row.dataset['outcome'] ?? ''
      const count = (from: number): number => {
        let total = 0
        for (const [second, outcomes] of seconds) if (second > from) total += outcomes[name] ?? 0
        return total
      }
      const [one, minute, all] = [toSecond - 1, toSecond - 60, toSecond - HISTORY_SECONDS].map(count)
      for (const [at, value] of [one, minute, all].entries()) {
        const cell = row.children[at + 1]
        if (cell) cell.textContent = (value ?? 0).toLocaleString('en-US')
      }
      row.hidden = all === 0 && !row.dataset['always']
    }
  }
}

function part(page: HTMLElement, name: string): HTMLElement {
  const found = page.querySelector<HTMLElement>(`[data-part="${name}"]`)
  if (!found) throw new Error(`the page has no ${name}`)
  return found
}

function sum(outcomes: Record<string, number>, counts: (name: string) => boolean): number {
  return Object.entries(outcomes).reduce((total, [name, value]) => total + (counts(name) ? value : 0), 0)
}

/** In UTC, as everywhere on these pages. */
function timeOfDay(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(11, 19)
}

/** Lines over five minutes: what was accepted, and why the others were refused. */
function createChart(page: HTMLElement) {
  const frame = part(page, 'chart')
  const colour = (name: string): string => getComputedStyle(page).getPropertyValue(name).trim()
  const lines = [
    {
      label: 'accepted',
      stroke: () => colour('--good'),
      dash: [],
      has: (name: string) => ACCEPTED.has(name),
    },
    {
      label: 'sold out',
      stroke: () => colour('--bad'),
      dash: [6, 3],
      has: (name: string) => name === 'sold_out',
    },
    {
      label: OTHER,
      stroke: () => colour('--wait'),
      dash: [2, 3],
      has: (name: string) => !ACCEPTED.has(name) && name !== 'sold_out',
    },
  ]
  const axis = { stroke: () => colour('--ink-soft'), grid: { stroke: () => colour('--line'), width: 1 } }
  const plot = new uPlot(
    {
      width: frame.clientWidth,
      height: CHART_HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'UTC'),
      scales: { y: { range: (_plot, _min, max) => [0, Math.max(4, max * 1.1)] } },
      axes: [
        { ...axis, space: 80, incrs: [30, 60, 120], values: (_plot, ticks) => ticks.map(timeOfDay) },
        axis,
      ],
      cursor: { drag: { x: false, y: false } },
      series: [
        { label: 'UTC', value: '{HH}:{mm}:{ss}' },
        ...lines.map(({ label, stroke, dash }) => ({
          label,
          stroke,
          dash,
          width: 2,
          points: { show: false },
        })),
      ],
    },
    [[], ...lines.map(() => [])],
    frame,
  )

  return {
    draw(seconds: ReadonlyMap<number, Record<string, number>>, toSecond: number): void {
      const times = Array.from({ length: HISTORY_SECONDS }, (_, at) => toSecond - HISTORY_SECONDS + 1 + at)
      plot.setData([
        times,
        ...lines.map(({ has }) => times.map((second) => sum(seconds.get(second) ?? {}, has))),
      ])
    },
    resize(): void {
      plot.setSize({ width: frame.clientWidth, height: CHART_HEIGHT })
    },
  }
}
