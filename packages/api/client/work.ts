/*
 * The check for shoppers who cannot read a picture: finds the number whose SHA-256 together with the salt is the
 * challenge. In a worker, so that the page stays alive; with a SHA-256 of its own, because the browser's is not
 * there over plain http and is slower by far for so many so short texts.
 */

const K = constants(64, 1 / 3)
const START = constants(8, 1 / 2)
/** Used again for every text: making a new one each time would take longer than the hash. */
const w = new Int32Array(64)
const state = new Int32Array(8)

addEventListener(
  'message',
  ({ data }: MessageEvent<{ challenge: string; salt: string; maxnumber: number }>) => {
    const { challenge, salt, maxnumber } = data
    for (let number = 0; number <= maxnumber; number += 1) {
      if (sha256(salt + number) === challenge) return postMessage({ number })
    }
    postMessage({ number: undefined })
  },
)

/**
 * The first bits behind the point of the roots of the first primes.
 */
function constants(count: number, power: number): Int32Array {
  const values = new Int32Array(count)
  for (let candidate = 2, found = 0; found < count; candidate += 1) {
    let isPrime = true
    for (let factor = 2; factor * factor <= candidate; factor += 1)
      if (candidate % factor === 0) isPrime = false
    if (!isPrime) continue
    const root = candidate ** power
    values[found] = Math.floor((root - Math.floor(root)) * 2 ** 32)
    found += 1
  }
  return values
}

/**
 * Of at most 55 plain characters, which fit into one block; in hex.
 */
function sha256(text: string): string {
  w.fill(0, 0, 16)
  for (let at = 0; at < text.length; at += 1) put(at, text.charCodeAt(at))
  put(text.length, 0x80)
  w[15] = text.length * 8
  for (let i = 16; i < 64; i += 1) {
    const x = get(w, i - 15)
    const y = get(w, i - 2)
    const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)
    const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10)
    w[i] = get(w, i - 16) + s0 + get(w, i - 7) + s1
  }
  rounds()
  let hex = ''
  for (let i = 0; i < 8; i += 1) {
    hex += ((get(state, i) + get(START, i)) >>> 0).toString(16).padStart(8, '0')
  }
  return hex
}

/** Leaves in `state` what has to be added to the start. */
function rounds(): void {
  let a = get(START, 0)
  let b = get(START, 1)
  let c = get(START, 2)
  let d = get(START, 3)
  let e = get(START, 4)
  let f = get(START, 5)
  let g = get(START, 6)
  let h = get(START, 7)
  for (let i = 0; i < 64; i += 1) {
    const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + get(K, i) + get(w, i)) | 0
    const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  state.set([a, b, c, d, e, f, g, h])
}

/**
 * One byte of the block.
 */
function put(at: number, byte: number): void {
  w[at >> 2] = get(w, at >> 2) | (byte << (24 - (at & 3) * 8))
}

function get(words: Int32Array, at: number): number {
  return words[at] as number
}

function turn(value: number, by: number): number {
  return (value >>> by) | (value << (32 - by))
}
