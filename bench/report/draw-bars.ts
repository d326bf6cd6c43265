import { drawing, text } from './drawing.ts'

const WIDTH = 760
const LABEL_WIDTH = 130
const VALUE_WIDTH = 80
const BAR_HEIGHT = 22
const STEP = 32
const TOP = 52

export interface Bar {
  name: string
  value: number
  /** What all others are compared with, ours, and other people's ways. */
  kind: 'unit' | 'ours' | 'theirs'
}

/** Bars with their names and values. */
export function drawBars(title: string, bars: readonly Bar[]): string {
  const most = Math.max(1, ...bars.map(({ value }) => value))
  const lines = bars.flatMap(({ name, value, kind }, at) => {
    const y = TOP + at * STEP
    const length = Math.max(1, (value / most) * (WIDTH - LABEL_WIDTH - VALUE_WIDTH))
    const middle = y + BAR_HEIGHT / 2 + 5
    return [
      text(LABEL_WIDTH - 10, middle, name, 'end'),
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${length.toFixed(1)}" height="${BAR_HEIGHT}" rx="3" class="${kind}"/>`,
      text(LABEL_WIDTH + length + 8, middle, Math.round(value).toLocaleString('en')),
    ]
  })
  return drawing({ title, width: WIDTH, height: TOP + bars.length * STEP + 12 }, lines)
}
