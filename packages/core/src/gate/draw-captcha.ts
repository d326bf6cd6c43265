import { randomInt } from 'node:crypto'

import { renderAsync } from '@resvg/resvg-js'
import svgCaptcha from 'svg-captcha'

/** How far the glyphs are from where a program looks for them. Each number is the most; the drawing takes any up to it. */
export interface CaptchaStyle {
  rotationDegrees: number
  skewDegrees: number
  /** Of the glyph's size, up or down. */
  scale: number
  /** The wave that bends all of the text, in pixels. */
  wavePx: number
  /** Neighbours stand closer by up to this, so that cutting between them does not work. */
  crowdPx: number
  noiseLines: number
}

/** What shoppers get. */
export const SERVED_STYLE: CaptchaStyle = {
  rotationDegrees: 26,
  skewDegrees: 18,
  scale: 0.15,
  wavePx: 5,
  crowdPx: 9,
  noiseLines: 4,
}

export const CAPTCHA_WIDTH = 288
export const CAPTCHA_HEIGHT = 80
const FONT_SIZE = 48
/** The font's letters are hollow, with a shadow: filled like this a person reads them through the lines. */
const STROKE_PX = 2
const GLYPH_BOX = 80

/**
 * Draws a text as a PNG.
 *
 * Never as SVG: the paths of its glyphs name the letters to any program. Rasterised off the event loop, on the
 * thread pool; without the system's fonts, which would take four times as long to look through.
 */
export async function drawCaptcha(text: string, style: CaptchaStyle = SERVED_STYLE): Promise<Buffer> {
  const image = await renderAsync(captchaSvg(text, style), {
    font: { loadSystemFonts: false },
    background: '#ffffff',
  })
  return image.asPng()
}

function captchaSvg(text: string, style: CaptchaStyle): string {
  const wave = waveOf(style)
  const step = (CAPTCHA_WIDTH - 20) / text.length
  const glyphs = Array.from(text, (character, at) => {
    const x = 10 + step * (at + 0.5) + between(-style.crowdPx, style.crowdPx)
    const y = CAPTCHA_HEIGHT / 2 + between(-style.wavePx, style.wavePx)
    const place = placeAt(x, y, style)
    const path = mapPoints(glyphPath(character), (px, py) => wave(...place(px, py)))
    const shade = grey()
    return `<path d="${path}" fill="${shade}" stroke="${shade}" stroke-width="${STROKE_PX}"/>`
  })
  const lines = Array.from({ length: style.noiseLines }, noiseLine)
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${CAPTCHA_WIDTH}" height="${CAPTCHA_HEIGHT}">${[...glyphs, ...lines].join('')}</svg>`
}

/** The outline of one glyph in the middle of its box, by svg-captcha, which also shakes its points a little. */
function glyphPath(character: string): string {
  // One character to choose from: its own random text is not asked for.
  const { data } = svgCaptcha.create({
    charPreset: character,
    size: 1,
    noise: 0,
    fontSize: FONT_SIZE,
    width: GLYPH_BOX,
    height: GLYPH_BOX,
  })
  return /\bd="([^"]+)"/.exec(data)?.[1] ?? ''
}

type Transform = (x: number, y: number) => [x: number, y: number]

function placeAt(centreX: number, centreY: number, style: CaptchaStyle): Transform {
  const angle = radians(between(-style.rotationDegrees, style.rotationDegrees))
  const lean = Math.tan(radians(between(-style.skewDegrees, style.skewDegrees)))
  const scale = 1 + between(-style.scale, style.scale)
  const [cos, sin] = [Math.cos(angle) * scale, Math.sin(angle) * scale]
  return (x, y) => {
    const dy = y - GLYPH_BOX / 2
    const dx = x - GLYPH_BOX / 2 + 1 + lean * dy
    return [centreX + dx * cos - dy * sin, centreY + dx * sin + dy * cos]
  }
}

function waveOf({ wavePx }: CaptchaStyle): Transform {
  const [heightX, heightY] = [between(wavePx / 2, wavePx), between(wavePx / 2, wavePx)]
  const [phaseX, phaseY] = [between(0, 2 * Math.PI), between(0, 2 * Math.PI)]
  const [lengthX, lengthY] = [between(9, 14), between(14, 24)]
  return (x, y) => [
    x + heightX * Math.sin(y / lengthX + phaseX) * 0.6,
    y + heightY * Math.sin(x / lengthY + phaseY),
  ]
}

/** Every command of these paths takes pairs, so the numbers are x and y in turn. */
function mapPoints(path: string, transform: Transform): string {
  return path.replaceAll(/(-?\d+(?:\.\d+)?)[\s,]*(-?\d+(?:\.\d+)?)/g, (_pair, x: string, y: string) =>
    transform(Number(x), Number(y))
      .map((value) => value.toFixed(1))
      .join(' ')
      .concat(' '),
  )
}

/** As dark and as thick as the strokes of the letters: neither a threshold nor an erosion takes it away alone. */
function noiseLine(): string {
  const [width, height] = [CAPTCHA_WIDTH, CAPTCHA_HEIGHT]
  const points = [0, width / 3, (2 * width) / 3, width].map(
    (x) => `${(x + between(-20, 20)).toFixed(0)} ${between(5, height - 5).toFixed(0)}`,
  )
  return `<path d="M${points[0]}C${points.slice(1).join(' ')}" fill="none" stroke="${grey()}" stroke-width="${between(1.2, 2.4).toFixed(1)}"/>`
}

function grey(): string {
  const shade = randomInt(0x10, 0x58).toString(16)
  return `#${shade}${shade}${shade}`
}

function between(min: number, max: number): number {
  return min + (randomInt(2 ** 32) / 2 ** 32) * (max - min)
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180
}
