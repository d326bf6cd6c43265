import svgCaptcha from 'svg-captcha'

/**
 * Letters stand in the middle of a box of this size, ten times as large as in the picture: svg-captcha shakes each point by
 * up to a tenth of a pixel, and of that nothing is left.
 */
export const LETTER_BOX = 1_200
export const LETTER_SCALE = 0.1
const FONT_SIZE = 720

interface Contour {
  path: string
  /** Of the polygon through its points; the sign says which way around it goes. */
  area: number
}

const outlines = new Map<string, string>()

/**
 * The outline of a letter, as the data of an SVG path, in the middle of its box; from svg-captcha's font.
 *
 * The font draws a letter as the shadow of a white one. At the size of a captcha that is a dark lump in which a person
 * takes a 4 for an A and a K for an X, while a program that knows the font is not held up at all. So only the white
 * letter itself is taken, and is drawn dark.
 */
export function letterOutline(character: string): string {
  let outline = outlines.get(character)
  if (outline === undefined) {
    outline = faceOf(contoursOf(character))
    outlines.set(character, outline)
  }
  return outline
}

function contoursOf(character: string): Contour[] {
  // One character to choose from: its own random text is not asked for.
  const { data } = svgCaptcha.create({
    charPreset: character,
    size: 1,
    noise: 0,
    fontSize: FONT_SIZE,
    width: LETTER_BOX,
    height: LETTER_BOX,
  })
  const path = /\bd="([^"]+)"/.exec(data)?.[1] ?? ''
  const contours = path.split(/(?=M)/).filter((contour) => contour.trim() !== '')
  return contours.map((contour) => ({ path: contour, area: areaOf(contour) }))
}

/** The largest contour that goes the one way is the letter; of those that go the other, the largest is the shadow, the rest are holes. */
function faceOf(contours: Contour[]): string {
  const areas = contours.map(({ area }) => area)
  const [letter, shadow] = [Math.max(...areas), Math.min(...areas)]
  return contours
    .filter(({ area }) => area === letter || (area < 0 && area !== shadow))
    .map(({ path }) => path)
    .join('')
}

function areaOf(contour: string): number {
  const points = [...contour.matchAll(POINT)].map(([, x, y]) => [Number(x), Number(y)] as const)
  let twice = 0
  let [beforeX, beforeY] = points.at(-1) ?? [0, 0]
  for (const [x, y] of points) {
    twice += beforeX * y - beforeY * x
    ;[beforeX, beforeY] = [x, y]
  }
  return twice / 2
}

/** Every command of these paths takes pairs, so the numbers are x and y in turn. */
const POINT = /(-?\d+(?:\.\d+)?)[\s,]*(-?\d+(?:\.\d+)?)/g

/** The same path with every point somewhere else. */
export function movePoints(
  path: string,
  move: (x: number, y: number) => readonly [x: number, y: number],
): string {
  return path.replaceAll(POINT, (_pair, x: string, y: string) => {
    const [movedX, movedY] = move(Number(x), Number(y))
    return `${movedX.toFixed(1)} ${movedY.toFixed(1)} `
  })
}
