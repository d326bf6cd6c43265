import { randomBytes } from 'node:crypto'

import { LOCAL_SESSIONS_MAX, createLocalSessions } from '@blitzbuy/core/user/sessions'

/**
 * Prints what the local copies of sessions take when the cache is full, and that more do not take more.
 *
 *     node --expose-gc --import tsx --conditions=blitzbuy-source scripts/measure-local-sessions.ts
 */
const local = createLocalSessions()
const heapMiB = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}

function fill(): void {
  for (let at = 0; at < LOCAL_SESSIONS_MAX; at += 1) {
    const account = {
      userId: at,
      // The longest name there can be, of characters of two bytes.
      nickname: `${'名'.repeat(34)}${String(at).padStart(6, '0')}`,
      phoneMasked: '+86 138****8000',
      role: 'shopper' as const,
    }
    const cookie = { expires: new Date().toISOString(), originalMaxAge: 604_800_000, path: '/', secure: true }
    const content = JSON.stringify({ account, createdAtMs: Date.now(), device: 'Firefox on Windows', cookie })
    const { account: parsed } = JSON.parse(content) as { account: typeof account }
    local.set(randomBytes(24).toString('base64url'), {
      account: parsed,
      expiresAtMs: Date.now() + 1e9,
      believedUntilMs: performance.now() + 5_000,
      content,
    })
  }
}

const beforeMiB = heapMiB()
fill()
const fullMiB = heapMiB()
fill()
const overfullMiB = heapMiB()
process.stdout.write(
  `${LOCAL_SESSIONS_MAX} sessions: ${(fullMiB - beforeMiB).toFixed(0)} MiB, ` +
    `${Math.round(((fullMiB - beforeMiB) * 2 ** 20) / LOCAL_SESSIONS_MAX)} bytes each; ` +
    `as many again: ${(overfullMiB - beforeMiB).toFixed(0)} MiB, ${local.size()} kept\n`,
)
