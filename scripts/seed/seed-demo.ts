import { randomBytes, randomUUID } from 'node:crypto'

import { connectMysql, type Mysql, type Session } from '@blitzbuy/core/mysql/connect-mysql'
import { createOrderIds } from '@blitzbuy/core/reservation/order-id'
import { createSales } from '@blitzbuy/core/sale/sales'
import { createAccounts } from '@blitzbuy/core/user/accounts'
import { createHashLine } from '@blitzbuy/core/user/hash-line'
import { hashPassword } from '@blitzbuy/core/user/password'
import { parsePhone } from '@blitzbuy/core/user/phone'
import { hashRecoveryCode, newRecoveryCodes } from '@blitzbuy/core/user/recovery-codes'
import { createSealer, type Sealer } from '@blitzbuy/core/user/sealed-secret'
import { newTotpSecret, totpUri } from '@blitzbuy/core/user/totp'
import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise'

import { DEMO_BUYERS, DEMO_SALES, type DemoSale } from './demo-catalogue.ts'

export interface DemoLogin {
  phone: string
  password: string
}

export interface DemoOperator extends DemoLogin {
  secondFactor: {
    /** For an app; of an earlier start, if there was one. */
    secret: string
    uri: string
    /** Opens once, without an app. */
    recoveryCode: string
  }
}

export interface DemoData {
  shopper: DemoLogin
  operator: DemoOperator
  /** 0 when there still was an open and an upcoming sale. */
  salesAdded: number
}

/** The stores of a start. Only MySQL is written to: the stock-warmer fills Redis by itself. */
export interface SeedOptions {
  mysqlUrl: string
  redisUrl: string
  namespace?: string
  /** SECOND_FACTOR_SECRETS of the api. */
  secondFactorSecrets: string[]
  say?: (line: string) => void
}

const SHOPPER_PHONE = '+1 213 373 4253'
const OPERATOR_PHONE = '+86 138 0013 8000'
const buyerPhone = (index: number) => `+1 213 373 42${String(10 + index)}`
const CONFUSABLE = /[-_0O1lI]/g

/**
 * Fills a system with something to look at: products, a sale in every phase, a shopper and an operator to log in as.
 *
 * Run again it keeps what is there, adds sales only when none is open or none is upcoming, and gives the two demo
 * accounts new passwords.
 *
 * @throws in production: accounts with printed passwords and paid orders of nobody have no place there.
 */
export async function seedDemo({
  mysqlUrl,
  secondFactorSecrets,
  say = () => undefined,
}: SeedOptions): Promise<DemoData> {
  if (process.env.NODE_ENV === 'production') {
    throw new Error('Demo data is refused with NODE_ENV=production: it has accounts with printed passwords.')
  }
  const mysql = connectMysql(mysqlUrl, { connectionLimit: 2 })
  try {
    const shopper = await demoLogin(mysql, SHOPPER_PHONE, 'Demo shopper', 'shopper')
    const operator = {
      ...(await demoLogin(mysql, OPERATOR_PHONE, 'Demo operator', 'operator')),
      secondFactor: await demoSecondFactor(mysql, createSealer(secondFactorSecrets)),
    }
    const salesAdded = (await needsSales(mysql)) ? await addSales(mysql) : 0
    say(salesAdded > 0 ? `${salesAdded} demo sales added` : 'the demo sales of an earlier start go on')
    return { shopper, operator, salesAdded }
  } finally {
    await mysql.close()
  }
}

async function demoLogin(
  mysql: Mysql,
  phone: string,
  nickname: string,
  role: 'shopper' | 'operator',
): Promise<DemoLogin> {
  const password = readablePassword()
  const userId = await demoUser(mysql, phone, nickname)
  const passwordHash = await hashPassword(password)
  await mysql.use(({ connection }) =>
    connection.query('UPDATE users SET password_hash = ?, role = ?, nickname = ? WHERE id = ?', [
      passwordHash,
      role,
      nickname,
      userId,
    ]),
  )
  return { phone, password }
}

/** The secret stays from start to start, so that an app that has it goes on; the recovery code is a new one. */
async function demoSecondFactor(mysql: Mysql, sealer: Sealer): Promise<DemoOperator['secondFactor']> {
  const userId = await demoUser(mysql, OPERATOR_PHONE)
  const owner = `user:${userId}`
  return mysql.transaction(async ({ connection }) => {
    const [[row]] = await connection.query<(RowDataPacket & { sealedSecret: string })[]>(
      'SELECT sealed_secret AS sealedSecret FROM second_factors WHERE user_id = ?',
      [userId],
    )
    const secret = (row && openOrNothing(sealer, row.sealedSecret, owner)) ?? newTotpSecret()
    await connection.query('DELETE FROM second_factors WHERE user_id = ?', [userId])
    await connection.query(
      'INSERT INTO second_factors (user_id, sealed_secret, confirmed_at) VALUES (?, ?, UTC_TIMESTAMP(3))',
      [userId, sealer.seal(secret, owner)],
    )
    const [recoveryCode = ''] = newRecoveryCodes()
    await connection.query('DELETE FROM recovery_codes WHERE user_id = ?', [userId])
    await connection.query('INSERT INTO recovery_codes (user_id, code_hash) VALUES (?, ?)', [
      userId,
      hashRecoveryCode(recoveryCode),
    ])
    return { secret, uri: totpUri(secret, 'demo'), recoveryCode }
  })
}

/** Sealed by the secrets of another start, it is of no use. */
function openOrNothing(sealer: Sealer, sealed: string, owner: string): string | undefined {
  try {
    return sealer.open(sealed, owner)
  } catch {
    return undefined
  }
}

/** The account of a demo phone number, made at the first start with a password that nobody knows. */
async function demoUser(mysql: Mysql, phone: string, nickname?: string): Promise<number> {
  const found = await findUser(mysql, phone)
  if (found) return found
  const outcome = await createAccounts(mysql, createHashLine({ atOnce: 1, waitingMax: 100 })).register({
    phone,
    nickname,
    password: randomUUID(),
  })
  if (outcome.kind === 'registered') return outcome.account.userId
  const made = await findUser(mysql, phone)
  if (made) return made
  throw new Error(`The demo account ${phone} could not be made: ${outcome.kind}`)
}

async function findUser(mysql: Mysql, phone: string): Promise<number | undefined> {
  const [rows] = await mysql.use(({ connection }) =>
    connection.query<(RowDataPacket & { id: number })[]>('SELECT id FROM users WHERE phone = ?', [
      parsePhone(phone),
    ]),
  )
  return rows[0]?.id
}

/** Easy to type from a terminal: no characters that look like others. */
function readablePassword(): string {
  return randomBytes(48).toString('base64url').replaceAll(CONFUSABLE, '').slice(0, 12)
}

async function needsSales(mysql: Mysql): Promise<boolean> {
  const [[count]] = await mysql.use(({ connection }) =>
    connection.query<(RowDataPacket & { openSales: string | null; upcomingSales: string | null })[]>(
      `SELECT SUM(opens_at <= UTC_TIMESTAMP(3) AND units_sold < quota) AS openSales,
              SUM(opens_at > UTC_TIMESTAMP(3)) AS upcomingSales
         FROM sales WHERE state = 'scheduled' AND closes_at > UTC_TIMESTAMP(3)`,
    ),
  )
  return Number(count?.openSales ?? 0) === 0 || Number(count?.upcomingSales ?? 0) === 0
}

async function addSales(mysql: Mysql): Promise<number> {
  const buyers: number[] = []
  for (let index = 0; index < DEMO_BUYERS; index += 1) {
    buyers.push(await demoUser(mysql, buyerPhone(index), `Demo buyer ${index + 1}`))
  }
  for (const sale of DEMO_SALES) {
    const productId = await demoProduct(mysql, sale)
    await mysql.transaction((session) => addSale(session, productId, sale, buyers))
  }
  return DEMO_SALES.length
}

async function demoProduct(mysql: Mysql, { product }: DemoSale): Promise<number> {
  const [rows] = await mysql.use(({ connection }) =>
    connection.query<(RowDataPacket & { id: number })[]>('SELECT id FROM products WHERE title = ? LIMIT 1', [
      product.title,
    ]),
  )
  return rows[0]?.id ?? (await createSales(mysql).addProduct(product))
}

/**
 * A sale together with what is sold of it, in one transaction: a warmer that saw the sale without its orders would
 * sell those units a second time.
 */
async function addSale(
  { connection }: Session,
  productId: number,
  sale: DemoSale,
  buyers: number[],
): Promise<void> {
  const { priceCents, currency, unitsPerBuyer } = sale
  const nowMs = Date.now()
  const opensAt = new Date(nowMs + sale.opensInSeconds * 1000)
  const closesAt = new Date(nowMs + sale.closesInSeconds * 1000)
  const [{ insertId: saleId }] = await connection.query<ResultSetHeader>(
    `INSERT INTO sales (product_id, price_cents, list_price_cents, currency, quota, units_sold, units_per_user,
                        opens_at, closes_at, payment_window_seconds)
     VALUES (?)`,
    [
      [
        productId,
        priceCents,
        sale.listPriceCents,
        currency,
        sale.quota,
        unitsPerBuyer * buyers.length,
        sale.unitsPerUser ?? 1,
        opensAt,
        closesAt,
        sale.paymentWindowSeconds,
      ],
    ],
  )
  if (unitsPerBuyer === 0) return

  // These orders are read by id from MySQL alone, and nobody knows their buyers' passwords: any secret will do.
  const orderIds = createOrderIds([randomUUID()])
  const amountCents = priceCents * unitsPerBuyer
  const placed = buyers.map((userId, index) => {
    const placedAtMs = opensAt.getTime() + (index + 1) * 1000
    return { orderId: orderIds.mint(saleId, userId, placedAtMs), userId, placedAtMs }
  })
  await connection.query(
    `INSERT INTO orders (id, sale_id, user_id, quantity, unit_price_cents, amount_cents, currency, state, live,
                         pay_before, reserved_at, placed_at, paid_at)
     VALUES ?`,
    [
      placed.map(({ orderId, userId, placedAtMs }) => [
        orderId,
        saleId,
        userId,
        unitsPerBuyer,
        priceCents,
        amountCents,
        currency,
        'paid',
        1,
        new Date(placedAtMs + sale.paymentWindowSeconds * 1000),
        new Date(placedAtMs),
        new Date(placedAtMs),
        new Date(placedAtMs + 30_000),
      ]),
    ],
  )
  await connection.query(
    'INSERT INTO payments (order_id, provider, provider_ref, amount_cents, currency, state) VALUES ?',
    [placed.map(({ orderId }) => [orderId, 'demo', randomUUID(), amountCents, currency, 'succeeded'])],
  )
}
