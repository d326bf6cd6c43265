import { inflateSync } from 'node:zlib'

/** A picture after thresholding: 1 where it is dark. */
export interface Ink {
  width: number
  height: number
  cells: Uint8Array
}

const DARK = 128

export function inkAt({ width, height, cells }: Ink, x: number, y: number): number {
  return x < 0 || y < 0 || x >= width || y >= height ? 0 : (cells[y * width + x] ?? 0)
}

/** A larger picture with this one in the middle. */
export function framed(ink: Ink, margin: number): Ink {
  const [width, height] = [ink.width + 2 * margin, ink.height + 2 * margin]
  const cells = new Uint8Array(width * height)
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) cells[y * width + x] = inkAt(ink, x - margin, y - margin)
  return { width, height, cells }
}

/** Of every square of so many pixels one. */
export function shrunk(ink: Ink, times: number): Ink {
  const [width, height] = [Math.floor(ink.width / times), Math.floor(ink.height / times)]
  const cells = new Uint8Array(width * height)
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) cells[y * width + x] = inkAt(ink, x * times, y * times)
  return { width, height, cells }
}

/** Lines that are thinner than a disc of this radius are gone, the rest is as it was. */
export const opened = (ink: Ink, radius: number): Ink => thickened(thinned(ink, radius), radius)

/** Gaps that are narrower than a disc of this radius are filled, the rest is as it was. */
export const mended = (ink: Ink, radius: number): Ink => thinned(thickened(ink, radius), radius)

function thickened({ width, height, cells }: Ink, radius: number): Ink {
  const thick = new Uint8Array(width * height)
  const around = disc(radius)
  for (let y = radius; y < height - radius; y += 1)
    for (let x = radius; x < width - radius; x += 1)
      if (cells[y * width + x] === 1) for (const [dx, dy] of around) thick[(y + dy) * width + x + dx] = 1
  return { width, height, cells: thick }
}

function thinned({ width, height, cells }: Ink, radius: number): Ink {
  const inverse = thickened({ width, height, cells: cells.map((cell) => 1 - cell) }, radius)
  return { width, height, cells: inverse.cells.map((cell) => 1 - cell) }
}

function disc(radius: number): [dx: number, dy: number][] {
  const points: [number, number][] = []
  for (let dy = -radius; dy <= radius; dy += 1)
    for (let dx = -radius; dx <= radius; dx += 1)
      if (dx * dx + dy * dy <= radius * radius + 0.5) points.push([dx, dy])
  return points
}

/** Eight bits a channel, as resvg writes it. */
export function inkOfPng(png: Buffer): Ink {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)]
  const channels = png.readUInt8(25) === 6 ? 4 : 3
  const parts: Buffer[] = []
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
      parts.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)))
  }
  const data = inflateSync(Buffer.concat(parts))
  const stride = width * channels
  const pixels = Buffer.alloc(stride * height)
  for (let y = 0; y < height; y += 1) {
    const filter = data.readUInt8(y * (stride + 1))
    for (let x = 0; x < stride; x += 1) {
      const left = x < channels ? 0 : (pixels[y * stride + x - channels] ?? 0)
      const up = y === 0 ? 0 : (pixels[(y - 1) * stride + x] ?? 0)
      const upLeft = y === 0 || x < channels ? 0 : (pixels[(y - 1) * stride + x - channels] ?? 0)
      const raw = data[y * (stride + 1) + 1 + x] ?? 0
      pixels[y * stride + x] = raw + predicted(filter, left, up, upLeft)
    }
  }
  const cells = new Uint8Array(width * height)
  for (let at = 0; at < cells.length; at += 1) cells[at] = (pixels[at * channels] ?? 255) < DARK ? 1 : 0
  return { width, height, cells }
}

function predicted(filter: number, left: number, up: number, upLeft: number): number {
  if (filter === 1) return left
  if (filter === 2) return up
  if (filter === 3) return (left + up) >> 1
  if (filter !== 4) return 0
  const [a, b, c] = [Math.abs(up - upLeft), Math.abs(left - upLeft), Math.abs(left + up - 2 * upLeft)]
  if (a <= b && a <= c) return left
  return b <= c ? up : upLeft
}
