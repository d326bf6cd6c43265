import { sql } from 'drizzle-orm'
import {
  bigint,
  check,
  customType,
  datetime,
  index,
  int,
  json,
  mysqlEnum,
  mysqlTable,
  smallint,
  text,
  tinyint,
  uniqueIndex,
  varchar,
} from 'drizzle-orm/mysql-core'

/** Ids and codes: compared byte by byte, one byte a character, so that indexes stay small. */
const ascii = customType<{ data: string; config: { length: number; fixed?: boolean } }>({
  dataType: (config) =>
    `${config?.fixed ? 'char' : 'varchar'}(${config?.length}) CHARACTER SET ascii COLLATE ascii_bin`,
})

const moment = (name: string) => datetime(name, { mode: 'date', fsp: 3 })
const createdAt = moment('created_at')
  .notNull()
  .default(sql`CURRENT_TIMESTAMP(3)`)
const currency = ascii('currency', { length: 3, fixed: true })

export const users = mysqlTable(
  'users',
  {
    id: int('id', { unsigned: true }).autoincrement().primaryKey(),
    /** E.164, e.g. +8613800138000: every spelling of a number leads to this one key. */
    phone: ascii('phone', { length: 16 }).notNull(),
    nickname: varchar('nickname', { length: 40 }).notNull(),
    passwordHash: ascii('password_hash', { length: 160 }).notNull(),
    role: mysqlEnum('role', ['shopper', 'operator']).notNull().default('shopper'),
    createdAt,
  },
  (users) => [
    // One account per phone number, even when two registrations race.
    uniqueIndex('one_account_per_phone').on(users.phone),
  ],
)

/** What an operator proves to be themselves by, besides the password: an app that shows a new code every 30 s. */
export const secondFactors = mysqlTable('second_factors', {
  userId: int('user_id', { unsigned: true }).primaryKey(),
  /** Sealed by a key that is not in the database: a copy of it shows no codes. */
  sealedSecret: ascii('sealed_secret', { length: 255 }).notNull(),
  /** NULL until the first code has shown that the app has the secret. */
  confirmedAt: moment('confirmed_at'),
  /** The 30 s step of the last code that was taken: it, and all before it, are used up. */
  lastStep: int('last_step', { unsigned: true }).notNull().default(0),
  /** Wrong codes since `tries_since`. */
  wrongTries: smallint('wrong_tries', { unsigned: true }).notNull().default(0),
  triesSince: moment('tries_since'),
  createdAt,
})

/** For whoever has lost the app; each opens once. */
export const recoveryCodes = mysqlTable(
  'recovery_codes',
  {
    id: int('id', { unsigned: true }).autoincrement().primaryKey(),
    userId: int('user_id', { unsigned: true }).notNull(),
    codeHash: ascii('code_hash', { length: 64, fixed: true }).notNull(),
    usedAt: moment('used_at'),
  },
  (recoveryCodes) => [
    // A code is found by its hash alone, and counts for one person.
    uniqueIndex('one_row_per_recovery_code').on(recoveryCodes.userId, recoveryCodes.codeHash),
  ],
)

export const products = mysqlTable('products', {
  id: int('id', { unsigned: true }).autoincrement().primaryKey(),
  title: varchar('title', { length: 120 }).notNull(),
  description: text('description').notNull(),
  /** A path below the site's root, e.g. /assets/products/pour-over-kettle.svg. */
  imagePath: varchar('image_path', { length: 255 }).notNull(),
  createdAt,
})

export const sales = mysqlTable(
  'sales',
  {
    id: int('id', { unsigned: true }).autoincrement().primaryKey(),
    productId: int('product_id', { unsigned: true }).notNull(),
    priceCents: int('price_cents', { unsigned: true }).notNull(),
    listPriceCents: int('list_price_cents', { unsigned: true }).notNull(),
    currency: currency.notNull(),
    quota: int('quota', { unsigned: true }).notNull(),
    /** Units in live orders; changed only under this row's lock. */
    unitsSold: int('units_sold', { unsigned: true }).notNull().default(0),
    unitsPerUser: smallint('units_per_user', { unsigned: true }).notNull().default(1),
    opensAt: moment('opens_at').notNull(),
    closesAt: moment('closes_at').notNull(),
    paymentWindowSeconds: int('payment_window_seconds', { unsigned: true }).notNull(),
    state: mysqlEnum('state', ['scheduled', 'paused', 'closed']).notNull().default('scheduled'),
    /** Grows with every change of quota, window or state; Redis takes only a higher one. */
    revision: int('revision', { unsigned: true }).notNull().default(1),
    /** The number of the Redis copy of this sale's stock; grows at each build. */
    stockEpoch: int('stock_epoch', { unsigned: true }).notNull().default(0),
    /** How many purchase tokens are handed out per unit of the quota; 0 means no cap. */
    tokensPerUnit: smallint('tokens_per_unit', { unsigned: true }).notNull().default(20),
    createdAt,
  },
  (sales) => [
    index('sales_by_closing').on(sales.closesAt),
    // I1, should every other guard fail: no transaction can commit more live units than the quota.
    check('never_more_sold_than_quota', sql.raw('`units_sold` <= `quota`')),
  ],
)

/** No foreign keys: they take locks on the parents, and a rejected row must always fit. */
export const orders = mysqlTable(
  'orders',
  {
    id: ascii('id', { length: 26, fixed: true }).primaryKey(),
    saleId: int('sale_id', { unsigned: true }).notNull(),
    userId: int('user_id', { unsigned: true }).notNull(),
    quantity: smallint('quantity', { unsigned: true }).notNull(),
    unitPriceCents: int('unit_price_cents', { unsigned: true }).notNull(),
    amountCents: bigint('amount_cents', { mode: 'number', unsigned: true }).notNull(),
    currency: currency.notNull(),
    state: mysqlEnum('state', ['awaiting_payment', 'paid', 'cancelled', 'expired', 'rejected']).notNull(),
    /** 1 while the order holds units (paid too), else NULL. */
    live: tinyint('live'),
    /** 1 from the end of the order until Redis was told that its units are back, else NULL. */
    returnDue: tinyint('return_due'),
    payBefore: moment('pay_before'),
    reservedAt: moment('reserved_at').notNull(),
    /** When the reservation was decided, whatever the decision; lists are ordered by it. */
    placedAt: moment('placed_at').notNull(),
    paidAt: moment('paid_at'),
    endedAt: moment('ended_at'),
    reason: ascii('reason', { length: 32 }),
  },
  (orders) => [
    // I2: one live order per user and sale. NULLs are all different, so a buyer whose order ended may buy again.
    uniqueIndex('one_live_order_per_user_and_sale').on(orders.saleId, orders.userId, orders.live),
    index('orders_of_user').on(orders.userId, orders.placedAt, orders.id),
    index('orders_to_expire').on(orders.state, orders.payBefore),
    index('orders_to_return').on(orders.returnDue),
  ],
)

export const payments = mysqlTable(
  'payments',
  {
    id: bigint('id', { mode: 'number', unsigned: true }).autoincrement().primaryKey(),
    orderId: ascii('order_id', { length: 26, fixed: true }).notNull(),
    provider: ascii('provider', { length: 32 }).notNull(),
    /** The provider's name for it; NULL until the provider has answered the start. */
    providerRef: ascii('provider_ref', { length: 64 }),
    /** Where the buyer pays. */
    paymentUrl: ascii('payment_url', { length: 512 }),
    /** What the order costs. */
    amountCents: bigint('amount_cents', { mode: 'number', unsigned: true }).notNull(),
    currency: currency.notNull(),
    /** What the provider took, which may be something else. */
    capturedCents: bigint('captured_cents', { mode: 'number', unsigned: true }),
    capturedCurrency: ascii('captured_currency', { length: 3, fixed: true }),
    /** Why it is given back: order-ended, second-payment, wrong-amount. */
    cause: ascii('cause', { length: 32 }),
    state: mysqlEnum('state', ['started', 'succeeded', 'failed', 'refund_due', 'refunded']).notNull(),
    createdAt,
  },
  (payments) => [
    // I11: a provider's message that comes twice is one payment.
    uniqueIndex('one_payment_per_provider_ref').on(payments.providerRef),
    index('payments_of_order').on(payments.orderId),
    index('payments_by_state').on(payments.state, payments.id),
  ],
)

/** What the sandbox provider remembers: it plays another company, so it reads none of the tables above. */
export const sandboxPayments = mysqlTable('sandbox_payments', {
  ref: ascii('ref', { length: 32 }).primaryKey(),
  /** The shop's own id: a start that is repeated is the same payment. */
  paymentId: bigint('payment_id', { mode: 'number', unsigned: true }).notNull().unique(),
  amountCents: bigint('amount_cents', { mode: 'number', unsigned: true }).notNull(),
  currency: currency.notNull(),
  returnUrl: ascii('return_url', { length: 512 }).notNull(),
  payBefore: moment('pay_before').notNull(),
  createdAt,
})

export const sandboxCaptures = mysqlTable('sandbox_captures', {
  ref: ascii('ref', { length: 64 }).primaryKey(),
  amountCents: bigint('amount_cents', { mode: 'number', unsigned: true }).notNull(),
  currency: currency.notNull(),
  refundAskedAt: moment('refund_asked_at'),
  refundedAt: moment('refunded_at'),
  createdAt,
})

export const sandboxCallbacks = mysqlTable(
  'sandbox_callbacks',
  {
    id: bigint('id', { mode: 'number', unsigned: true }).autoincrement().primaryKey(),
    body: text('body').notNull(),
    /** When it is sent, or sent again; NULL once the shop has taken it. */
    sendAt: moment('send_at'),
    createdAt,
  },
  (sandboxCallbacks) => [index('sandbox_callbacks_to_send').on(sandboxCallbacks.sendAt)],
)

export const auditLog = mysqlTable(
  'audit_log',
  {
    id: bigint('id', { mode: 'number', unsigned: true }).autoincrement().primaryKey(),
    actorId: int('actor_id', { unsigned: true }),
    action: ascii('action', { length: 64 }).notNull(),
    subject: varchar('subject', { length: 120 }).notNull(),
    details: json('details'),
    createdAt,
  },
  (auditLog) => [
    index('audit_log_by_time').on(auditLog.createdAt),
    index('audit_log_by_subject').on(auditLog.subject, auditLog.id),
  ],
)
