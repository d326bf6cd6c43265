import { inkAt, type Ink } from './ink.ts'

/** How a letter may stand in the picture that is read. */
export interface Poses {
  degrees: number[]
  leanDegrees: number[]
  scales: number[]
  /** How far from the middle of its place, in pixels. */
  across: number[]
  down: number[]
}

/** Where a letter has ink, and where right beside it has none; from its middle. */
interface Template {
  character: string
  ink: [x: number, y: number][]
  beside: [x: number, y: number][]
}

/** Every other or third pixel is enough, and a ninth of the work. */
const SAMPLE_PX = 3
const BESIDE_PX = { from: 2, to: 7 }
/** White around a picture: no pose reaches beyond it. */
const MARGIN_PX = 80

/** From pictures of single letters, each in the middle. */
export function templatesOf(letters: Map<string, Ink>): Template[] {
  return Array.from(letters, ([character, picture]) => {
    const [middleX, middleY] = [picture.width / 2, picture.height / 2]
    const template: Template = { character, ink: [], beside: [] }
    for (let y = 0; y < picture.height; y += SAMPLE_PX) {
      for (let x = 0; x < picture.width; x += SAMPLE_PX) {
        const away = pixelsToInk(picture, x, y)
        if (away === 0) template.ink.push([x - middleX, y - middleY])
        else if (away >= BESIDE_PX.from && away <= BESIDE_PX.to)
          template.beside.push([x - middleX, y - middleY])
      }
    }
    return template
  })
}

function pixelsToInk(ink: Ink, x: number, y: number): number {
  let nearest = Infinity
  for (let dy = -BESIDE_PX.to; dy <= BESIDE_PX.to; dy += 1)
    for (let dx = -BESIDE_PX.to; dx <= BESIDE_PX.to; dx += 1)
      if (inkAt(ink, x + dx, y + dy) === 1) nearest = Math.min(nearest, Math.hypot(dx, dy))
  return nearest
}

/** Reads a line of letters with equal room for each: of all letters in all poses the one that fits best. */
export function letterReader(
  templates: Template[],
  poses: Poses,
  { width, length, marginPx }: { width: number; length: number; marginPx: number },
): (ink: Ink) => string {
  const stride = width + 2 * MARGIN_PX
  const posed = templates.flatMap((template) => posesOf(template, poses, stride))
  const shifts = poses.down.flatMap((dy) => poses.across.map((dx) => dy * stride + dx))

  return (ink) => {
    const soft = softened(ink)
    let text = ''
    for (let at = 0; at < length; at += 1) {
      const x = marginPx + ((ink.width - 2 * marginPx) / length) * (at + 0.5)
      const middle = (MARGIN_PX + ink.height / 2) * stride + MARGIN_PX + Math.round(x)
      let best = { character: '', fit: -Infinity }
      for (const { character, ink: inside, beside } of posed) {
        for (const shift of shifts) {
          const hit = mean(soft, inside, middle + shift)
          if (hit <= best.fit) continue
          const fit = hit - mean(soft, beside, middle + shift)
          if (fit > best.fit) best = { character, fit }
        }
      }
      text += best.character
    }
    return text
  }
}

interface PosedTemplate {
  character: string
  /** Steps through the cells of a picture, from the middle of the letter. */
  ink: Int32Array
  beside: Int32Array
}

function posesOf(template: Template, poses: Poses, stride: number): PosedTemplate[] {
  return poses.degrees.flatMap((degrees) =>
    poses.leanDegrees.flatMap((leanDegrees) =>
      poses.scales.map((scale) => {
        const [angle, lean] = [(degrees * Math.PI) / 180, Math.tan((leanDegrees * Math.PI) / 180)]
        const [cos, sin] = [Math.cos(angle) * scale, Math.sin(angle) * scale]
        const steps = (points: [number, number][]) =>
          Int32Array.from(points, ([x, y]) => {
            const leaning = x + lean * y
            return Math.round(leaning * sin + y * cos) * stride + Math.round(leaning * cos - y * sin)
          })
        return {
          character: template.character,
          ink: steps(template.ink),
          beside: steps(template.beside),
        }
      }),
    ),
  )
}

/** How much of each pixel and its neighbours is ink, so that a pixel to the side is still half right; with white around. */
function softened(ink: Ink): Uint8Array {
  const stride = ink.width + 2 * MARGIN_PX
  const soft = new Uint8Array(stride * (ink.height + 2 * MARGIN_PX))
  for (let y = -1; y <= ink.height; y += 1) {
    for (let x = -1; x <= ink.width; x += 1) {
      let count = 0
      for (let dy = -1; dy <= 1; dy += 1)
        for (let dx = -1; dx <= 1; dx += 1) count += inkAt(ink, x + dx, y + dy)
      soft[(y + MARGIN_PX) * stride + x + MARGIN_PX] = count
    }
  }
  return soft
}

function mean(cells: Uint8Array, steps: Int32Array, from: number): number {
  let sum = 0
  for (const step of steps) sum += cells[from + step] ?? 0
  return sum / steps.length
}
