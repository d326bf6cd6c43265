import { createHash } from 'node:crypto'

import { CAPTCHA_ALPHABET, CAPTCHA_LENGTH } from '@blitzbuy/core/gate/captcha-text'
import {
  CAPTCHA_WIDTH,
  PIXELS_PER_PX,
  createCaptchaDrawer,
  type CaptchaStyle,
} from '@blitzbuy/core/gate/draw-captcha'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { inkOfPng, mended, opened, shrunk, type Ink } from './ink.ts'
import { letterReader, templatesOf, type Poses } from './match-letters.ts'
import { readWithTesseract } from './read-with-tesseract.ts'

/*
 * Attacks whoever writes a bot would try. Each is shown to read the same texts drawn upright without noise: an attack
 * that can read nothing proves nothing. What is served is drawn with a source of our own, so that every run reads the
 * same 200 pictures.
 */

const COUNT = 200
const UPRIGHT: CaptchaStyle = {
  rotationDegrees: 0,
  skewDegrees: 0,
  scale: 0,
  wavePx: 0,
  bendPx: 0,
  crowdPx: 0,
  noiseLines: 0,
  cuts: 0,
}
const MARGIN_PX = 10

/** Numbers from 0 up to 1, the same ones in every run. */
function numbersOf(seed: string): () => number {
  let count = 0
  return () => {
    count += 1
    return createHash('sha256').update(`${seed} ${count}`).digest().readUInt32BE(0) / 2 ** 32
  }
}

const pick = numbersOf('texts')
const texts = Array.from({ length: COUNT }, () =>
  Array.from(
    { length: CAPTCHA_LENGTH },
    () => CAPTCHA_ALPHABET[Math.floor(pick() * CAPTCHA_ALPHABET.length)],
  ).join(''),
)

/** What is done with a picture before it is read: lines are taken away, cuts are mended. */
const TREATMENTS: Record<string, (ink: Ink) => Ink> = {
  plain: (ink) => shrunk(ink, PIXELS_PER_PX),
  opened: (ink) => shrunk(opened(ink, 3), PIXELS_PER_PX),
  mended: (ink) => shrunk(mended(ink, 2), PIXELS_PER_PX),
  mendedAndOpened: (ink) => shrunk(opened(mended(ink, 2), 3), PIXELS_PER_PX),
}

const drawer = createCaptchaDrawer()
afterAll(() => drawer.close())

let upright: Ink[]
let served: Record<string, Ink[]>
beforeAll(async () => {
  const plain = await drawAll((text) => drawer.draw(text, UPRIGHT))
  upright = plain.map((ink) => shrunk(ink, PIXELS_PER_PX))
  const pictures = await drawAll((text) => drawer.draw(text, undefined, numbersOf(text)))
  served = Object.fromEntries(Object.entries(TREATMENTS).map(([name, treat]) => [name, pictures.map(treat)]))
}, 60_000)

async function drawAll(draw: (text: string) => Promise<Buffer>): Promise<Ink[]> {
  const inks: Ink[] = []
  for (const text of texts) inks.push(inkOfPng(await draw(text)))
  return inks
}

const solvedPercent = (guesses: string[]): number =>
  (guesses.filter((guess, at) => guess === texts[at]).length / COUNT) * 100

/** What it solves; served: by whichever treatment helps it most, since a captcha has one try. */
async function attack(name: string, read: (inks: Ink[]) => string[] | Promise<string[]>) {
  const uprightPercent = solvedPercent(await read(upright))
  const figures: Record<string, number> = {}
  for (const [treatment, inks] of Object.entries(served)) figures[treatment] = solvedPercent(await read(inks))
  process.stdout.write(`${name} solves ${uprightPercent} % upright, served ${JSON.stringify(figures)} %\n`)
  return { upright: uprightPercent, served: Math.max(...Object.values(figures)) }
}

async function readerOf(poses: Poses): Promise<(inks: Ink[]) => string[]> {
  const letters = new Map<string, Ink>()
  for (const character of CAPTCHA_ALPHABET)
    letters.set(character, shrunk(inkOfPng(await drawer.draw(character, UPRIGHT)), PIXELS_PER_PX))
  const read = letterReader(templatesOf(letters), poses, {
    width: CAPTCHA_WIDTH,
    length: CAPTCHA_LENGTH,
    marginPx: MARGIN_PX,
  })
  return (inks) => inks.map(read)
}

describe('200 served captchas', () => {
  it('are not read by tesseract, which reads them upright', async () => {
    const solves = await attack('tesseract', (inks) => readWithTesseract(inks, CAPTCHA_ALPHABET))
    expect(solves.upright).toBeGreaterThan(80)
    expect(solves.served).toBeLessThan(2)
  }, 300_000)

  it('are not read by matching the letters of the known font, which reads them upright', async () => {
    const still = { degrees: [0], leanDegrees: [0], scales: [1], across: [-4, 0, 4], down: [-4, 0, 4] }
    const solves = await attack('matching letters', await readerOf(still))
    expect(solves.upright).toBeGreaterThan(80)
    expect(solves.served).toBeLessThan(2)
  }, 180_000)

  // Whoever reads our sources knows how letters are turned, and looks for them in every pose.
  it('are not read by matching letters that are turned, leaned and scaled, either', async () => {
    const turned = {
      degrees: [-24, -16, -8, 0, 8, 16, 24],
      leanDegrees: [-12, 0, 12],
      scales: [0.9, 1, 1.1],
      across: [-12, -8, -4, 0, 4, 8, 12],
      down: [-8, -4, 0, 4, 8],
    }
    const solves = await attack('matching turned letters', await readerOf(turned))
    expect(solves.upright).toBeGreaterThan(80)
    expect(solves.served).toBeLessThan(2)
  }, 300_000)
})
