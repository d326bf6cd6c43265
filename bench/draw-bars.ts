const WIDTH = 760
const LABEL_WIDTH = 130
const VALUE_WIDTH = 70
const BAR_HEIGHT = 22
const STEP = 32
const TOP = 44

/** Bars with their names and values, as SVG that can be read on a light and on a dark page. */
export function drawBars(title: string, bars: readonly { name: string; value: number }[]): string {
  const most = Math.max(1, ...bars.map(({ value }) => value))
  const lines = bars.flatMap(({ name, value }, at) => {
    const y = TOP + at * STEP
    const length = Math.max(1, (value / most) * (WIDTH - LABEL_WIDTH - VALUE_WIDTH))
    const middle = y + BAR_HEIGHT / 2 + 5
    return [
      `  <text x="${LABEL_WIDTH - 10}" y="${middle}" text-anchor="end">${name}</text>`,
      `  <rect x="${LABEL_WIDTH}" y="${y}" width="${length.toFixed(1)}" height="${BAR_HEIGHT}" rx="3" fill="${name === 'bare' ? '#8a8f98' : '#2f6fde'}"/>`,
      `  <text x="${(LABEL_WIDTH + length + 8).toFixed(1)}" y="${middle}">${Math.round(value).toLocaleString('en')}</text>`,
    ]
  })
  const height = TOP + bars.length * STEP + 8
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="14" fill="#1c1f24">`,
    `  <rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `  <text x="${LABEL_WIDTH}" y="26" font-weight="bold">${title}</text>`,
    ...lines,
    '</svg>',
    '',
  ].join('\n')
}
