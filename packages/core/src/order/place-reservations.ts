import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2/promise'

import { crashPoint } from '../crash-point.ts'
import type { Mysql } from '../mysql/connect-mysql.ts'
import type { Reservation } from '../reservation/reservations-made.ts'
import type { Decision } from '../stock/settle.ts'

export type RejectReason = 'sold-out' | 'duplicate' | 'unknown-sale' | 'lost' | 'undecidable'

export interface Placing {
  /** MySQL's clock when it decided. */
  decidedAtMs: number
  decisions: Decision[]
  /** MySQL had no units for somebody to whom Redis had given some: the two differ. */
  isShort?: boolean
}

/**
 * Decides reservations of one sale in one transaction: each becomes a placed row or a rejected row, once and for ever.
 *
 * Repeating it, with the same or with other neighbours, answers what stands. Window and state of the sale are not
 * asked: `reserve` decided them.
 *
 * @throws StoreAway when the outcome is not known; run the whole batch again, the ids say what happened.
 */
export type PlaceReservations = (saleId: number, reservations: readonly Reservation[]) => Promise<Placing>

/** Rows are long locked while a big backlog is placed; the gatherer never hands over more than this. */
const DEADLINE_MS = 10_000

export function createPlaceReservations(mysql: Mysql): PlaceReservations {
  return (saleId, reservations) =>
    mysql.transaction(async ({ connection }) => {
      const unique = [...new Map(reservations.map((one) => [one.orderId, one])).values()]
      // First of all the hot row: it serialises the workers, which is what makes the counting exact.
      const sale = await lockSale(connection, saleId)
      const standing = await readStanding(connection, unique)
      const undecided = unique.filter((one) => !standing.has(one.orderId))
      const holders = await readHolders(connection, saleId, undecided)

      const { rows, unitsTaken, decisions, isShort } = admit(saleId, sale, undecided, holders)
      if (rows.length > 0) {
        // Plain INSERT: a conflict here is a bug and must be seen; IGNORE would store a wrong row in silence.
        await connection.query<ResultSetHeader>(`INSERT INTO orders (${COLUMNS}) VALUES ?`, [rows])
      }
      if (unitsTaken > 0) {
        await connection.query('UPDATE sales SET units_sold = units_sold + ? WHERE id = ?', [
          unitsTaken,
          saleId,
        ])
      }
      const known = unique.flatMap((one) => {
        const state = standing.get(one.orderId)
        return state ? [toDecision(one, state)] : []
      })
      crashPoint('before-commit')
      return { decidedAtMs: sale.now.getTime(), decisions: [...known, ...decisions], isShort }
    }, DEADLINE_MS)
}

/** What MySQL says of these orders now; for a worker whose decisions became too old to be told. */
export async function readDecisions(mysql: Mysql, decisions: readonly Decision[]): Promise<Placing> {
  return mysql.use(async ({ connection }) => {
    const [[clock]] = await connection.query<(RowDataPacket & { now: Date })[]>(
      'SELECT UTC_TIMESTAMP(3) AS now',
    )
    const standing = await readStanding(connection, decisions)
    return {
      decidedAtMs: clock?.now.getTime() ?? 0,
      decisions: decisions.map((decision) => {
        const state = standing.get(decision.orderId)
        return state ? { ...decision, state } : decision
      }),
    }
  }, DEADLINE_MS)
}

interface LockedSale {
  isKnown: boolean
  now: Date
  unitsFree: number
  priceCents: number
  currency: string
  paymentWindowSeconds: number
}

async function lockSale(connection: Connection, saleId: number): Promise<LockedSale> {
  type Row = RowDataPacket & LockedSale
  const [[row]] = await connection.query<Row[]>(
    `SELECT UTC_TIMESTAMP(3) AS now, quota - units_sold AS unitsFree, price_cents AS priceCents, currency,
            payment_window_seconds AS paymentWindowSeconds
       FROM sales WHERE id = ? FOR UPDATE`,
    [saleId],
  )
  if (row) return { ...row, isKnown: true }
  const [[clock]] = await connection.query<(RowDataPacket & { now: Date })[]>(
    'SELECT UTC_TIMESTAMP(3) AS now',
  )
  return {
    isKnown: false,
    now: clock?.now as Date,
    unitsFree: 0,
    priceCents: 0,
    currency: 'XXX',
    paymentWindowSeconds: 0,
  }
}

async function readStanding(
  connection: Connection,
  orders: readonly { orderId: string }[],
): Promise<Map<string, Decision['state']>> {
  type Row = RowDataPacket & { id: string; state: string; live: number | null }
  const [rows] = await connection.query<Row[]>('SELECT id, state, live FROM orders WHERE id IN (?)', [
    orders.map((order) => order.orderId),
  ])
  return new Map(
    rows.map((row) => [row.id, row.live ? 'placed' : row.state === 'rejected' ? 'rejected' : 'ended']),
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

/** In the order in which the units were reserved; what does not fit is skipped, what comes after it may still fit. */
function admit(saleId: number, sale: LockedSale, reservations: readonly Reservation[], holders: Set<number>) {
  const payBefore = new Date(sale.now.getTime() + sale.paymentWindowSeconds * 1000)
  const rows: unknown[][] = []
  const decisions: Decision[] = []
  let unitsTaken = 0
  let isShort = false
  const inOrder = reservations.toSorted(
    (a, b) => a.reservedAtMs - b.reservedAtMs || (a.orderId < b.orderId ? -1 : 1),
  )

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
    if (!sale.isKnown) return 'unknown-sale'
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
