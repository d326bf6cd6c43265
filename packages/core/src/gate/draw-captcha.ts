import { randomInt } from 'node:crypto'

import { createJobThread } from '../job-thread.ts'
import { LETTER_BOX, LETTER_SCALE, letterOutline, movePoints } from './letter-outline.ts'

/** How far the letters are from where and what a program looks for. Each number is the most; the drawing takes any up to it. */
export interface CaptchaStyle {
  rotationDegrees: number
  skewDegrees: number
  /** Of the letter's size, up or down. */
  scale: number
  /** A long wave through all of the text and a short one that bends each letter, in pixels. */
  wavePx: number
  bendPx: number
  /** Neighbours stand closer by up to this, so that cutting between them does not work. */
  crowdPx: number
  noiseLines: number
  /** White lines through the letters. */
  cuts: number
}

/** What shoppers get: docs/decisions/0051 says how it was found. */
export const SERVED_STYLE: CaptchaStyle = {
  rotationDegrees: 26,
  skewDegrees: 18,
  scale: 0.15,
  wavePx: 5,
  bendPx: 2,
  crowdPx: 9,
  noiseLines: 2,
  cuts: 3,
}

export const CAPTCHA_WIDTH = 288
export const CAPTCHA_HEIGHT = 80
/** On a phone a picture of one pixel per CSS pixel is a blur. */
export const PIXELS_PER_PX = 2
const MARGIN = 10
/** One shade for all of it: with a shade each, asking for that of a letter takes every line away. */
const SHADE = '#222222'

type Point = [x: number, y: number]
type Transform = (x: number, y: number) => Point
/** From 0 up to 1, like Math.random, but nobody knows the next. */
type Random = () => number

export interface CaptchaDrawer {
  /** Draws a text as a PNG. */
  draw(text: string, style?: CaptchaStyle, random?: Random): Promise<Buffer>
  close(): Promise<void>
}

/** Never as SVG: the paths of its letters name them to any program. Painted and compressed on a thread of its own. */
export function createCaptchaDrawer(): CaptchaDrawer {
  const thread = createJobThread<{ svg: string; pixelsPerPx: number }, Uint8Array>('rasterise.mjs')
  return {
    async draw(text, style = SERVED_STYLE, random = secretRandom) {
      const svg = captchaSvg(text, style, random)
      return Buffer.from(await thread.run({ svg, pixelsPerPx: PIXELS_PER_PX }))
    },
    close: () => thread.close(),
  }
}

function secretRandom(): number {
  return randomInt(2 ** 32) / 2 ** 32
}

function captchaSvg(text: string, style: CaptchaStyle, random: Random): string {
  const between = (min: number, max: number): number => min + random() * (max - min)
  const upTo = (most: number): number => between(-most, most)
  const wave = waveOf(style, between)
  const step = (CAPTCHA_WIDTH - 2 * MARGIN) / text.length

  const letters = Array.from(text, (character, at) => {
    const place = placeOf(
      {
        x: MARGIN + step * (at + 0.5) + upTo(style.crowdPx),
        y: CAPTCHA_HEIGHT / 2 + upTo(style.wavePx),
        angle: radians(upTo(style.rotationDegrees)),
        lean: Math.tan(radians(upTo(style.skewDegrees))),
        scale: LETTER_SCALE * (1 + upTo(style.scale)),
      },
      wave,
    )
    return `<path d="${movePoints(letterOutline(character), place)}" fill="${SHADE}"/>`
  })

  /** From side to side, bent twice. */
  const line = (marginY: number, colour: string, [thin, thick]: Point): string => {
    const points = [0, CAPTCHA_WIDTH / 3, (2 * CAPTCHA_WIDTH) / 3, CAPTCHA_WIDTH].map(
      (x) => `${(x + upTo(20)).toFixed(0)} ${between(marginY, CAPTCHA_HEIGHT - marginY).toFixed(0)}`,
    )
    const width = between(thin, thick).toFixed(1)
    return `<path d="M${points[0]}C${points.slice(1).join(' ')}" fill="none" stroke="${colour}" stroke-width="${width}"/>`
  }
  // Through the letters: whoever mends the cuts by thickening joins the neighbours too.
  const cuts = Array.from({ length: style.cuts }, () => line(18, '#ffffff', [1.2, 1.8]))
  // As dark and as thick as the strokes of the letters: neither a threshold nor an erosion takes them away alone.
  const lines = Array.from({ length: style.noiseLines }, () => line(5, SHADE, [3, 4]))

  const size = `width="${CAPTCHA_WIDTH}" height="${CAPTCHA_HEIGHT}"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${[...letters, ...cuts, ...lines].join('')}</svg>`
}

interface Place {
  x: number
  y: number
  angle: number
  lean: number
  scale: number
}

/** From a letter's box to the picture. */
function placeOf(place: Place, wave: Transform): Transform {
  const [cos, sin] = [Math.cos(place.angle) * place.scale, Math.sin(place.angle) * place.scale]
  return (x, y) => {
    const dy = y - LETTER_BOX / 2
    const dx = x - LETTER_BOX / 2 + 1 + place.lean * dy
    return wave(place.x + dx * cos - dy * sin, place.y + dx * sin + dy * cos)
  }
}

function waveOf({ wavePx, bendPx }: CaptchaStyle, between: (min: number, max: number) => number): Transform {
  const ripple = (height: number, shortest: number, longest: number) => {
    const [phase, length] = [between(0, 2 * Math.PI), between(shortest, longest)]
    return (at: number): number => height * Math.sin(at / length + phase)
  }
  const [waveX, waveY] = [
    ripple(0.6 * between(wavePx / 2, wavePx), 9, 14),
    ripple(between(wavePx / 2, wavePx), 14, 24),
  ]
  const [bendX, bendY] = [
    ripple(between(0.7 * bendPx, bendPx), 8, 12),
    ripple(between(0.7 * bendPx, bendPx), 8, 12),
  ]
  return (x, y) => [x + waveX(y) + bendX(y), y + waveY(x) + bendY(x)]
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180
}
