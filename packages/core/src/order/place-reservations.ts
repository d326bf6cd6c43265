import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2/promise'

import { crashPoint } from '../crash-point.ts'
import { mysqlCode, type Mysql } from '../mysql/connect-mysql.ts'
import type { Reservation } from '../reservation/reservations-made.ts'
import type { Decision } from '../stock/settle.ts'

export type RejectReason = 'sold-out' | 'duplicate' | 'unknown-sale' | 'lost' | 'undecidable'

/** What MySQL says about orders, to be told to Redis. */
export interface Decided {
  /** MySQL's clock when it decided. */
  decidedAtMs: number
  decisions: Decision[]
}

/** A reservation that can never be placed, whoever tries and however often. */
export interface Poison {
  reservation: Reservation
  cause: 'unknown-sale' | 'other-content' | 'unstorable'
  /** For the person who looks at it, e.g. the code that MySQL answered. */
  detail: string
}

export interface Placing extends Decided {
  /** Those decisions that were taken now, and did not stand before. */
  taken: readonly Decision[]
  /** MySQL had no units for somebody to whom Redis had given some: the two differ. */
  isShort: boolean
  /** Nothing was decided about these; everything else was. */
  poison: Poison[]
}

/**
 * Decides reservations of one sale in one transaction: each becomes a placed row or a rejected row, once and for ever.
 *
 * Repeating it, with the same or with other neighbours, answers what stands. Window and state of the sale are not
 * asked: `reserve` decided them. One that MySQL cannot store is named, and its neighbours are placed.
 *
 * @throws StoreAway when the outcome is not known; run the whole batch again, the ids say what happened.
 */
export type PlaceReservations = (saleId: number, reservations: readonly Reservation[]) => Promise<Placing>

/** Rows are long locked while a big backlog is placed; the gatherer never hands over more than this. */
const DEADLINE_MS = 10_000

/** The value is at fault, not the server: the same row is refused again by whoever sends it. */
const UNSTORABLE = new Set([
  'ER_BAD_NULL_ERROR',
  'ER_WARN_DATA_OUT_OF_RANGE',
  'WARN_DATA_TRUNCATED',
  'ER_TRUNCATED_WRONG_VALUE',
  'ER_TRUNCATED_WRONG_VALUE_FOR_FIELD',
  'ER_DATA_TOO_LONG',
])

export function createPlaceReservations(mysql: Mysql): PlaceReservations {
  return (saleId, reservations) => {
    const { unique, poison } = tellApart(reservations)
    return placeOrHalve(saleId, unique.toSorted(inReservedOrder), poison)
  }

  /** A statement that MySQL refuses names no row; halves lead to it in a few transactions, whatever its neighbours. */
  async function placeOrHalve(
    saleId: number,
    reservations: readonly Reservation[],
    poison: readonly Poison[] = [],
  ): Promise<Placing> {
    try {
      const placing = await mysql.transaction(
        ({ connection }) => place(connection, saleId, reservations),
        DEADLINE_MS,
      )
      return { ...placing, poison: [...poison, ...placing.poison] }
    } catch (error) {
      const code = mysqlCode(error)
      const [first] = reservations
      if (code === undefined || !UNSTORABLE.has(code) || !first) throw error
      if (reservations.length === 1) {
        const unstorable = { reservation: first, cause: 'unstorable', detail: code } as const
        return {
          decidedAtMs: Infinity,
          decisions: [],
          taken: [],
          isShort: false,
          poison: [...poison, unstorable],
        }
      }
      const middle = Math.ceil(reservations.length / 2)
      const before = await placeOrHalve(saleId, reservations.slice(0, middle), poison)
      const after = await placeOrHalve(saleId, reservations.slice(middle))
      return {
        decidedAtMs: Math.min(before.decidedAtMs, after.decidedAtMs),
        decisions: [...before.decisions, ...after.decisions],
        taken: [...before.taken, ...after.taken],
        isShort: before.isShort || after.isShort,
        poison: [...before.poison, ...after.poison],
      }
    }
  }
}

async function place(
  connection: Connection,
  saleId: number,
  reservations: readonly Reservation[],
): Promise<Placing> {
  // First of all the hot row: it serialises the workers, which is what makes the counting exact.
  const sale = await lockSale(connection, saleId)
  const decidedAtMs = (sale?.now ?? (await readNow(connection))).getTime()
  const standing = await readStanding(connection, reservations)
  const known: Decision[] = []
  const undecided: Reservation[] = []
  const poison: Poison[] = []
  for (const reservation of reservations) {
    const row = standing.get(reservation.orderId)
    if (!row) undecided.push(reservation)
    else if (isSame(row, saleId, reservation)) known.push(toDecision(reservation, row.state))
    else poison.push({ reservation, cause: 'other-content', detail: 'a row with this id says otherwise' })
  }
  if (!sale) {
    const strays = undecided.map((reservation) => ({
      reservation,
      cause: 'unknown-sale' as const,
      detail: `there is no sale ${saleId}`,
    }))
    return { decidedAtMs, decisions: known, taken: [], isShort: false, poison: [...poison, ...strays] }
  }
  const holders = await readHolders(connection, saleId, undecided)

  const { rows, unitsTaken, decisions, isShort } = admit(saleId, sale, undecided, holders)
  if (rows.length > 0) {
    // Plain INSERT: a conflict here is a bug and must be seen; IGNORE would store a wrong row in silence.
    await connection.query<ResultSetHeader>(`INSERT INTO orders (${COLUMNS}) VALUES ?`, [rows])
  }
  if (unitsTaken > 0) {
    await connection.query('UPDATE sales SET units_sold = units_sold + ? WHERE id = ?', [unitsTaken, saleId])
  }
  crashPoint('before-commit')
  return { decidedAtMs, decisions: [...known, ...decisions], taken: decisions, isShort, poison }
}

/** A message that comes twice brings each reservation twice; two that only share their id are not the same. */
function tellApart(reservations: readonly Reservation[]) {
  const byId = new Map<string, Reservation>()
  const poison: Poison[] = []
  for (const reservation of reservations) {
    const first = byId.get(reservation.orderId)
    if (!first) byId.set(reservation.orderId, reservation)
    else if (first.userId !== reservation.userId || first.quantity !== reservation.quantity)
      poison.push({
        reservation,
        cause: 'other-content',
        detail: 'another message with this id says otherwise',
      })
  }
  return { unique: [...byId.values()], poison }
}

/** A row that was written for a lost reservation does not know its quantity. */
function isSame(row: Standing, saleId: number, { userId, quantity }: Reservation): boolean {
  if (row.saleId !== saleId || row.userId !== userId) return false
  return row.quantity === quantity || row.reason === 'lost'
}

/**
 * What MySQL says of these orders now; for a worker whose decisions became too old to be told.
 *
 * An id that stands for another purchase gets nothing here: in this sale it is rejected.
 */
export async function readDecisions(
  mysql: Mysql,
  saleId: number,
  decisions: readonly Decision[],
): Promise<Decided> {
  return mysql.use(async ({ connection }) => {
    const now = await readNow(connection)
    const standing = await readStanding(connection, decisions)
    return {
      decidedAtMs: now.getTime(),
      decisions: decisions.map((decision) => {
        const row = standing.get(decision.orderId)
        if (!row) return decision
        if (row.saleId !== saleId) return toDecision(decision, 'rejected')
        const { userId, quantity, state } = row
        return {
          orderId: decision.orderId,
          userId,
          quantity: row.reason === 'lost' ? decision.quantity : quantity,
          state,
        }
      }),
    }
  }, DEADLINE_MS)
}

interface LockedSale {
  now: Date
  unitsFree: number
  priceCents: number
  currency: string
  paymentWindowSeconds: number
}

async function lockSale(connection: Connection, saleId: number): Promise<LockedSale | undefined> {
  const [[row]] = await connection.query<(RowDataPacket & LockedSale)[]>(
    `SELECT UTC_TIMESTAMP(3) AS now, quota - units_sold AS unitsFree, price_cents AS priceCents, currency,
            payment_window_seconds AS paymentWindowSeconds
       FROM sales WHERE id = ? FOR UPDATE`,
    [saleId],
  )
  return row
}

async function readNow(connection: Connection): Promise<Date> {
  const [[clock]] = await connection.query<(RowDataPacket & { now: Date })[]>(
    'SELECT UTC_TIMESTAMP(3) AS now',
  )
  return clock?.now as Date
}

interface Standing {
  saleId: number
  userId: number
  quantity: number
  state: Decision['state']
  reason: string | null
}

async function readStanding(
  connection: Connection,
  orders: readonly { orderId: string }[],
): Promise<Map<string, Standing>> {
  if (orders.length === 0) return new Map()
  type Row = RowDataPacket & Standing & { id: string; live: number | null }
  const [rows] = await connection.query<Row[]>(
    `SELECT id, sale_id AS saleId, user_id AS userId, quantity, state, live, reason FROM orders WHERE id IN (?)`,
    [orders.map((order) => order.orderId)],
  )
  return new Map(
    rows.map((row) => [
      row.id,
      { ...row, state: row.live ? 'placed' : (row.state as string) === 'rejected' ? 'rejected' : 'ended' },
    ]),
  )
}

/** The users among these buyers who have a live order in this sale. */
async function readHolders(
  connection: Connection,
  saleId: number,
  reservations: readonly Reservation[],
): Promise<Set<number>> {
  if (reservations.length === 0) return new Set()
  const [rows] = await connection.query<(RowDataPacket & { userId: number })[]>(
    'SELECT user_id AS userId FROM orders WHERE sale_id = ? AND user_id IN (?) AND live = 1',
    [saleId, reservations.map((one) => one.userId)],
  )
  return new Set(rows.map((row) => row.userId))
}

const COLUMNS = `id, sale_id, user_id, quantity, unit_price_cents, amount_cents, currency, state, live, pay_before,
  reserved_at, placed_at, ended_at, reason`

function inReservedOrder(a: Reservation, b: Reservation): number {
  return a.reservedAtMs - b.reservedAtMs || (a.orderId < b.orderId ? -1 : 1)
}

/** In the order in which the units were reserved; what does not fit is skipped, what comes after it may still fit. */
function admit(saleId: number, sale: LockedSale, inOrder: readonly Reservation[], holders: Set<number>) {
  const payBefore = new Date(sale.now.getTime() + sale.paymentWindowSeconds * 1000)
  const rows: unknown[][] = []
  const decisions: Decision[] = []
  let unitsTaken = 0
  let isShort = false

  for (const one of inOrder) {
    const reason = refusal(one)
    if (reason === 'sold-out') isShort = true
    if (!reason) {
      unitsTaken += one.quantity
      holders.add(one.userId)
    }
    rows.push([
      one.orderId,
      saleId,
      one.userId,
      one.quantity,
      sale.priceCents,
      sale.priceCents * one.quantity,
      sale.currency,
      reason ? 'rejected' : 'awaiting_payment',
      reason ? null : 1,
      reason ? null : payBefore,
      new Date(one.reservedAtMs),
      sale.now,
      reason ? sale.now : null,
      reason ?? null,
    ])
    decisions.push(toDecision(one, reason ? 'rejected' : 'placed'))
  }
  return { rows, unitsTaken, decisions, isShort }

  function refusal(one: Reservation): RejectReason | undefined {
    if (holders.has(one.userId)) return 'duplicate'
    return unitsTaken + one.quantity > sale.unitsFree ? 'sold-out' : undefined
  }
}

function toDecision(
  { orderId, userId, quantity }: Omit<Decision, 'state'>,
  state: Decision['state'],
): Decision {
  return { orderId, userId, quantity, state }
}
