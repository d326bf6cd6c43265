import { randomInt } from 'node:crypto'

import { Signer } from '@fastify/cookie'
import { createBlacklistIndex } from '@blitzbuy/core/gate/blacklist-index'
import { createLocalBuckets } from '@blitzbuy/core/gate/limits'
import { createPurchaseTokens } from '@blitzbuy/core/gate/purchase-tokens'
import { parseAddress, type IpAddress } from '@blitzbuy/core/ip-address'

import { createReadSessionId } from '../packages/api/src/plugins/session.ts'

/**
 * Prints what each check of the gate takes of a purchase, one by one, with 100,000 entries on the blacklist.
 *
 *     node --expose-gc --import tsx --conditions=blitzbuy-source scripts/measure-gate.ts
 *
 * What a whole purchase takes next to a bare route is `pnpm bench`'s to say.
 */
const ENTRIES = 100_000
const TIMES = 100_000
const SECRET = 's'.repeat(32)
const NOW_MS = 1_000

const heapMiB = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}

/** The best of five: whoever else needs the core makes a try longer, never shorter. */
function microseconds(check: (at: number) => unknown): string {
  const tries = Array.from({ length: 5 }, () => {
    const beganMs = performance.now()
    for (let at = 0; at < TIMES; at += 1) check(at)
    return ((performance.now() - beganMs) * 1_000) / TIMES
  })
  return Math.min(...tries).toFixed(2)
}

const beforeMiB = heapMiB()
const index = createBlacklistIndex()
const about = { cause: 'operator', reason: 'resells', addedAtMs: NOW_MS, expiresAtMs: undefined }
for (let at = 0; at < ENTRIES / 2; at += 1) {
  index.put({ ...about, subject: `user:${at * 2 + 1}` })
  index.put({ ...about, subject: `network:10.${at >> 8}.${at & 255}.0/${24 + (at % 4)}` })
}
const blacklistMiB = heapMiB() - beforeMiB

const addresses = Array.from({ length: 1_000 }, () =>
  parseAddress(`11.${randomInt(256)}.${randomInt(256)}.${randomInt(256)}`),
) as IpAddress[]
const tokens = createPurchaseTokens([SECRET])
const purchaseTokens = Array.from({ length: 1_000 }, (_, userId) =>
  tokens.sign({ saleId: 7, userId, issuedAtMs: 0, notBeforeMs: 0, expiresAtMs: NOW_MS * 2 }),
)
const signer = new Signer([SECRET])
const cookies = Array.from(
  { length: 1_000 },
  (_, at) => `blitz=${encodeURIComponent(signer.sign(`session${at}`.padEnd(32, '0')))}`,
)
const readSessionId = createReadSessionId({ secrets: [SECRET], publicOrigin: 'http://127.0.0.1' })
const buckets = createLocalBuckets({ windowMs: 10_000 })

const lines = {
  [`user on the blacklist (${index.size} entries, ${blacklistMiB.toFixed(0)} MiB)`]: microseconds((at) =>
    index.ofUser(at),
  ),
  'address on the blacklist (four lengths of ranges)': microseconds((at) =>
    index.ofAddress(addresses[at % 1_000] as IpAddress, NOW_MS),
  ),
  'session cookie, met before': microseconds((at) => readSessionId(cookies[at % 1_000])),
  'one limit of this process': microseconds((at) => buckets(at % 1_000)),
  'purchase token': microseconds((at) => tokens.read(purchaseTokens[at % 1_000], 7, at % 1_000, NOW_MS)),
}
for (const [what, taken] of Object.entries(lines)) process.stdout.write(`${taken.padStart(8)} µs  ${what}\n`)
