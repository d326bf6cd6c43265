import { drawing, text } from './drawing.ts'

const PLOT = { width: 330, height: 150 }
const GAP = { left: 52, right: 18, top: 40, bottom: 34 }
const TOP = 66
const COLUMNS = 2

export interface Plot {
  title: string
  points: { x: number; a: number; b: number; range: [number, number] }[]
}

/** Small plots side by side with one scale upwards, each with two lines over powers of ten. */
export function drawLines(title: string, plots: readonly Plot[], names: { a: string; b: string }): string {
  const most = Math.max(1, ...plots.flatMap(({ points }) => points.map(({ range }) => range[1])))
  const top = niceAbove(most)
  const cell = {
    width: GAP.left + PLOT.width + GAP.right,
    height: GAP.top + PLOT.height + GAP.bottom,
  }
  const lines = plots.flatMap((plot, at) => {
    const left = (at % COLUMNS) * cell.width + GAP.left
    const upper = TOP + Math.floor(at / COLUMNS) * cell.height + GAP.top
    return drawPlot(plot, { left, upper, top })
  })
  const legend = [
    `<rect x="20" y="46" width="14" height="4" class="a"/>`,
    text(40, 53, names.a),
    `<rect x="150" y="46" width="14" height="4" class="b"/>`,
    text(170, 53, names.b),
    text(240, 53, 'shaded: cheapest to dearest round', 'start', 'small'),
  ]
  const rows = Math.ceil(plots.length / COLUMNS)
  const size = { width: cell.width * COLUMNS, height: TOP + rows * cell.height + 8 }
  return drawing({ title, ...size }, [...legend, ...lines])
}

function drawPlot(
  { title, points }: Plot,
  { left, upper, top }: { left: number; upper: number; top: number },
): string[] {
  const [first, last] = [points[0]?.x ?? 1, points.at(-1)?.x ?? 1]
  const decades = Math.max(Number.EPSILON, Math.log10(last / first))
  const x = (value: number): number => left + (Math.log10(value / first) / decades) * PLOT.width
  const y = (value: number): number => upper + PLOT.height - (value / top) * PLOT.height
  const known = points.filter(({ a, b }) => Number.isFinite(a) && Number.isFinite(b))
  const path = (valueOf: (point: Plot['points'][number]) => number): string =>
    known.map((point) => `${x(point.x).toFixed(1)},${y(valueOf(point)).toFixed(1)}`).join(' ')
  const grid = [0, top / 2, top].flatMap((value) => [
    `<line x1="${left}" x2="${left + PLOT.width}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}" class="grid"/>`,
    text(left - 8, y(value) + 4, Math.round(value).toLocaleString('en'), 'end', 'small'),
  ])
  const upwards = path(({ range }) => range[1])
  const downwards = known
    .toReversed()
    .map((point) => `${x(point.x).toFixed(1)},${y(point.range[0]).toFixed(1)}`)
    .join(' ')
  return [
    text(left, upper - 14, title),
    ...grid,
    ...points.map((point, at) =>
      text(
        x(point.x),
        upper + PLOT.height + 18,
        point.x.toLocaleString('en'),
        at === 0 ? 'start' : at === points.length - 1 ? 'end' : 'middle',
        'small',
      ),
    ),
    `<polygon points="${upwards} ${downwards}" class="a band"/>`,
    `<polyline points="${path(({ a }) => a)}" class="line a"/>`,
    `<polyline points="${path(({ b }) => b)}" class="line b"/>`,
    ...known.flatMap((point) => [
      `<circle cx="${x(point.x).toFixed(1)}" cy="${y(point.a).toFixed(1)}" r="3.5" class="a"/>`,
      `<circle cx="${x(point.x).toFixed(1)}" cy="${y(point.b).toFixed(1)}" r="3.5" class="b"/>`,
    ]),
  ]
}

/** The next of 10, 20, 50, 100, 200, 500, … */
function niceAbove(value: number): number {
  const decade = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map((step) => step * decade).find((nice) => nice >= value) ?? value
}
