import type { Redis } from '@blitzbuy/core/redis/connect-redis'

const BATCH = 1_000
/** Beyond all users that a bench makes. */
const FIRST_USER_ID = 1_000_000_000
/** Nobody relays them while they are there. */
const DUE_IN_MS = 3_600_000

/**
 * Puts holds, holders and unsettled reservations of nobody into a sale.
 *
 * @returns what takes exactly these out again
 */
export async function fillSale(
  redis: Redis,
  saleId: number,
  { holds, ledger }: { holds: number; ledger: number },
): Promise<() => Promise<void>> {
  const key = (name: string): string => `{sale:${saleId}}:${name}`
  const dueMs = Date.now() + DUE_IN_MS

  for (let first = 0; first < holds; first += BATCH) {
    const numbers = numbersFrom(first, holds)
    const unsettled = numbers.filter((number) => number < ledger)
    await Promise.all([
      redis.hset(key('holds'), ...numbers.flatMap((number) => [orderIdOf(number), `${userIdOf(number)}:1`])),
      redis.hset(key('holders'), ...numbers.flatMap((number) => [userIdOf(number), orderIdOf(number)])),
      unsettled.length > 0 &&
        redis.hset(
          key('unsettled'),
          ...unsettled.flatMap((number) => [orderIdOf(number), `${userIdOf(number)}:1:${dueMs}:1:0:bench`]),
        ),
      unsettled.length > 0 &&
        redis.zadd(key('unsettled-due'), ...unsettled.flatMap((number) => [dueMs, orderIdOf(number)])),
    ])
  }

  return async () => {
    for (let first = 0; first < holds; first += BATCH) {
      const numbers = numbersFrom(first, holds)
      const orderIds = numbers.map(orderIdOf)
      await Promise.all([
        redis.hdel(key('holds'), ...orderIds),
        redis.hdel(key('holders'), ...numbers.map(userIdOf)),
        redis.hdel(key('unsettled'), ...orderIds),
        redis.zrem(key('unsettled-due'), ...orderIds),
      ])
    }
  }
}

function numbersFrom(first: number, end: number): number[] {
  return Array.from({ length: Math.min(BATCH, end - first) }, (_, at) => first + at)
}

function orderIdOf(number: number): string {
  return `F${String(number).padStart(25, '0')}`
}

function userIdOf(number: number): string {
  return String(FIRST_USER_ID + number)
}
