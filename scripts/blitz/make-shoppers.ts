import { randomBytes, randomInt } from 'node:crypto'

import { Signer } from '@fastify/cookie'
import { mysqlCode, type Mysql } from '@blitzbuy/core/mysql/connect-mysql'
import type { Redis } from '@blitzbuy/core/redis/connect-redis'
import type { Account } from '@blitzbuy/core/user/accounts'
import { hashPassword } from '@blitzbuy/core/user/password'
import { maskPhone } from '@blitzbuy/core/user/phone'
import { createSessions, SESSION_LIMITS } from '@blitzbuy/core/user/sessions'
import type { RowDataPacket } from 'mysql2/promise'

import { sessionCookieName } from '../../packages/api/src/plugins/session.ts'

/** An account with a live session. */
export interface Shopper {
  userId: number
  /** A whole Cookie header. */
  cookie: string
  phone: string
}

export interface MakeShoppersOptions {
  mysql: Mysql
  redis: Redis
  /** The api's own, or it would take none of the cookies. */
  sessionSecrets: string[]
  publicOrigin: string
  /** The next block of phone numbers to try, from 0 to 99,999; one at random unless given. */
  nextPhoneBlock?: () => number
}

type PhonedAccount = Account & { phone: string }

/** Rows of one INSERT, and phone numbers of one block. */
const BATCH = 1_000
const MYSQL_DEADLINE_MS = 20_000
/** Mobile numbers that parsePhone takes; 170 belongs to resellers, not to the three operators. */
const PHONE_PREFIX = '+86170'
const PHONE_BLOCKS = 10 ** 8 / BATCH
const BLOCK_TRIES_MAX = 50

/**
 * Makes accounts with live sessions, as quickly as the stores take them, batch by batch.
 *
 * They share one hash of a password that is made for this maker, so that no time goes into hashing; any number of
 * makers may run at once.
 */
export async function createShopperMaker(options: MakeShoppersOptions) {
  const { mysql, redis, sessionSecrets, publicOrigin } = options
  const nextPhoneBlock = options.nextPhoneBlock ?? (() => randomInt(PHONE_BLOCKS))
  const password = randomBytes(18).toString('base64url')
  const passwordHash = await hashPassword(password)
  const sessions = createSessions(redis)
  const signer = new Signer(sessionSecrets)
  const cookieName = sessionCookieName(publicOrigin)
  const secure = publicOrigin.startsWith('https:')

  async function* makeShoppers(count: number): AsyncGenerator<Shopper[], void, void> {
    for (let made = 0; made < count; made += BATCH) {
      const accounts = await addAccounts(Math.min(BATCH, count - made))
      // Sent without waiting for each other's answers: one trip for all of them.
      yield await Promise.all(
        accounts.map(async ({ phone, ...account }) => ({
          userId: account.userId,
          cookie: await logIn(account),
          phone,
        })),
      )
    }
  }

  /**
   * Takes a block of phone numbers: the unique index lets one maker have it as a whole, and whoever else wants one
   * of its numbers looks for another block.
   */
  async function addAccounts(count: number): Promise<PhonedAccount[]> {
    for (let attempt = 1; ; attempt += 1) {
      const first = nextPhoneBlock() * BATCH
      const phones = Array.from({ length: count }, (_, at) => phoneOf(first + at))
      try {
        return await insertAccounts(mysql, phones, passwordHash)
      } catch (error) {
        if (mysqlCode(error) !== 'ER_DUP_ENTRY' || attempt >= BLOCK_TRIES_MAX) throw error
      }
    }
  }

  /** What a login at the api leaves behind, without the login. */
  async function logIn(account: Account): Promise<string> {
    const sessionId = randomBytes(24).toString('base64url')
    const lastsMs = SESSION_LIMITS.absoluteSeconds * 1000
    const cookie = {
      path: '/',
      httpOnly: true,
      sameSite: 'lax',
      secure,
      originalMaxAge: lastsMs,
      expires: new Date(Date.now() + lastsMs),
    }
    await sessions.write(sessionId, { account, cookie })
    return `${cookieName}=${encodeURIComponent(signer.sign(sessionId))}`
  }

  return {
    /** Of every account that this maker makes. */
    password,
    makeShoppers,
    /** A new session of somebody made here; their old one may be lost. */
    logInAgain({ userId, phone }: Pick<Shopper, 'userId' | 'phone'>): Promise<string> {
      const nickname = maskPhone(phone)
      return logIn({ userId, nickname, phoneMasked: nickname, role: 'shopper' })
    },
    async makeAll(count: number): Promise<Shopper[]> {
      const shoppers: Shopper[] = []
      for await (const batch of makeShoppers(count)) shoppers.push(...batch)
      return shoppers
    },
  }
}

async function insertAccounts(
  mysql: Mysql,
  phones: string[],
  passwordHash: string,
): Promise<PhonedAccount[]> {
  return mysql.use(async ({ connection }) => {
    await connection.query('INSERT INTO users (phone, nickname, password_hash) VALUES ?', [
      phones.map((phone) => [phone, maskPhone(phone), passwordHash]),
    ])
    // Read, not counted from the first one: a cluster may hand out every third id.
    const [rows] = await connection.query<(RowDataPacket & { userId: number; phone: string })[]>(
      'SELECT id AS userId, phone FROM users WHERE phone BETWEEN ? AND ? ORDER BY phone',
      [phones[0], phones.at(-1)],
    )
    return rows.map(({ userId, phone }) => {
      const nickname = maskPhone(phone)
      return { userId, nickname, phoneMasked: nickname, role: 'shopper', phone }
    })
  }, MYSQL_DEADLINE_MS)
}

function phoneOf(number: number): string {
  return PHONE_PREFIX + String(number).padStart(8, '0')
}
