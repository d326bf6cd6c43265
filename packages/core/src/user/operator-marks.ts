import type { Redis } from 'ioredis'

import { redisAnswer } from '../redis/connect-redis.ts'

export interface OperatorLimits {
  /** Operator pages that are not used for so long ask for a code again. */
  idleSeconds: number
  /** And after so long in any case. */
  absoluteSeconds: number
}

/**
 * Which sessions have shown a second factor, and not too long ago.
 *
 * A key of its own beside the session: prolonging it cannot bring back a session that has ended meanwhile, and a mark
 * without its session opens nothing.
 */
export interface OperatorMarks {
  set(sessionId: string, userId: number): Promise<void>
  /** Since when this session has one, and prolongs it; undefined without one. */
  use(sessionId: string, userId: number): Promise<number | undefined>
  /** The same without prolonging it. */
  isSet(sessionId: string, userId: number): Promise<boolean>
  remove(sessionId: string): Promise<void>
}

export const OPERATOR_LIMITS: OperatorLimits = { idleSeconds: 15 * 60, absoluteSeconds: 8 * 3600 }

export function operatorMarkKey(sessionId: string): string {
  return `operator-mark:${sessionId}`
}

export function createOperatorMarks(
  redis: Redis,
  { idleSeconds, absoluteSeconds }: OperatorLimits = OPERATOR_LIMITS,
  now: () => number = Date.now,
): OperatorMarks {
  const idleMs = idleSeconds * 1000
  const absoluteMs = absoluteSeconds * 1000

  async function read(
    sessionId: string,
    userId: number,
  ): Promise<{ setAtMs: number; leftMs: number } | undefined> {
    const value = await redisAnswer(redis.get(operatorMarkKey(sessionId)))
    if (value === null) return undefined
    const [ofUserId, setAtMs] = value.split(':').map(Number) as [number, number]
    const leftMs = setAtMs + absoluteMs - now()
    return ofUserId === userId && leftMs > 0 ? { setAtMs, leftMs } : undefined
  }

  return {
    async set(sessionId, userId) {
      const lifeMs = Math.min(idleMs, absoluteMs)
      await redisAnswer(redis.set(operatorMarkKey(sessionId), `${userId}:${now()}`, 'PX', lifeMs))
    },

    async use(sessionId, userId) {
      const mark = await read(sessionId, userId)
      if (!mark) return undefined
      await redisAnswer(redis.pexpire(operatorMarkKey(sessionId), Math.min(idleMs, mark.leftMs)))
      return mark.setAtMs
    },

    isSet: async (sessionId, userId) => (await read(sessionId, userId)) !== undefined,

    async remove(sessionId) {
      await redisAnswer(redis.unlink(operatorMarkKey(sessionId)))
    },
  }
}
