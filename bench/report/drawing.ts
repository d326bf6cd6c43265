/**
 * A picture that can be read on a light and on a dark page: it has a ground of its own, and where the viewer says
 * which of the two they like, that one.
 */
export function drawing(
  { title, width, height }: { title: string; width: number; height: number },
  lines: readonly string[],
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" font-family="system-ui, sans-serif" font-size="14">`,
    `  <title>${title}</title>`,
    `  <style>${STYLE}</style>`,
    `  <rect width="${width}" height="${height}" rx="6" class="ground"/>`,
    `  ${text(20, 30, title, 'start', 'title')}`,
    ...lines.map((line) => `  ${line}`),
    '</svg>',
    '',
  ].join('\n')
}

const STYLE = [
  '.ground{fill:#fff}text{fill:#1c1f24}.title{font-weight:600;font-size:16px}.small{font-size:12px;fill:#5b6370}',
  '.unit{fill:#8a8f98}.ours{fill:#2f6fde}.theirs{fill:#c2702a}',
  '.grid{stroke:#d5d9e0;stroke-width:1}.line{fill:none;stroke-width:2.5}.band{opacity:.14}',
  '.a{stroke:#2f6fde;fill:#2f6fde}.b{stroke:#c2702a;fill:#c2702a}polyline.line{fill:none}polygon.band{stroke:none}',
  '@media(prefers-color-scheme:dark){.ground{fill:#16181d}text{fill:#e6e8ec}.small{fill:#a3abb8}',
  '.unit{fill:#8a8f98}.ours{fill:#6c9cf0}.theirs{fill:#e0954f}.grid{stroke:#363b45}',
  '.a{stroke:#6c9cf0;fill:#6c9cf0}.b{stroke:#e0954f;fill:#e0954f}polyline.line{fill:none}polygon.band{stroke:none}}',
].join('')

export function text(
  x: number,
  y: number,
  words: string,
  anchor: 'start' | 'middle' | 'end' = 'start',
  style?: 'title' | 'small',
): string {
  const styled = style ? ` class="${style}"` : ''
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${styled}>${words}</text>`
}
