import { randomBytes } from 'node:crypto'

import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise'
import { Type } from 'typebox'
import { Value } from 'typebox/value'

import type { Mysql } from '../mysql/connect-mysql.ts'
import { SIGNATURE_HEADER, TIMESTAMP_HEADER, createCallbackSignatures } from './callback-signature.ts'
import type { PaymentEvent, PaymentGateway, RefundGateway } from './payment-gateway.ts'

const PROVIDER = 'sandbox'
/** As with real providers a refund takes its time: who asks at once is told to ask again. */
const REFUND_TAKES_SECONDS = 1
const RETRY_SECONDS = 2
const LATE_SECONDS = 3
const SEND_MAX = 50

/** What a person on the sandbox's page can act out. */
export const SANDBOX_ACTS = ['pay', 'fail', 'pay-late', 'pay-twice', 'pay-wrong-amount'] as const
export type SandboxAct = (typeof SANDBOX_ACTS)[number]

export interface SandboxPayment {
  ref: string
  paymentId: number
  amountCents: number
  currency: string
  returnUrl: string
  payBefore: Date
}

/** Posts a callback to the shop; answers the HTTP status. */
export type SendCallback = (headers: Record<string, string>, body: string) => Promise<number>

/** A provider that moves no money, so that everything a real one can do may be tried. */
export interface SandboxProvider extends PaymentGateway {
  find(ref: string): Promise<SandboxPayment | undefined>
  act(payment: SandboxPayment, act: SandboxAct): Promise<void>
  /** Sends each callback that is due, until the shop answers 2xx; one that is not taken comes again later. */
  sendDue(send: SendCallback, nowMs: () => number): Promise<number>
}

const Event = Type.Object(
  {
    paymentId: Type.Integer({ minimum: 1 }),
    providerRef: Type.String({ minLength: 1, maxLength: 64, pattern: '^[\\w-]+$' }),
    result: Type.Enum(['succeeded', 'failed']),
    amountCents: Type.Integer({ minimum: 0 }),
    currency: Type.String({ pattern: '^[A-Z]{3}$' }),
  },
  { additionalProperties: false },
)

export function createSandboxProvider(deps: {
  mysql: Mysql
  secrets: readonly string[]
  publicOrigin: string
}): SandboxProvider {
  const { mysql, publicOrigin } = deps
  const signatures = createCallbackSignatures(deps.secrets)

  return {
    provider: PROVIDER,

    async start({ paymentId, amountCents, currency, returnUrl, payBeforeMs }) {
      const own = randomBytes(16).toString('hex')
      const ref = await mysql.use(
        async ({ connection }) => {
          const [{ affectedRows }] = await connection.query<ResultSetHeader>(
            `INSERT INTO sandbox_payments (ref, payment_id, amount_cents, currency, return_url, pay_before)
             VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE payment_id = payment_id`,
            [own, paymentId, amountCents, currency, returnUrl, new Date(payBeforeMs)],
          )
          if (affectedRows === 1) return own
          const [[row]] = await connection.query<(RowDataPacket & { ref: string })[]>(
            'SELECT ref FROM sandbox_payments WHERE payment_id = ?',
            [paymentId],
          )
          return row?.ref ?? ''
        },
        undefined,
        'begun',
      )
      return { providerRef: ref, paymentUrl: `${publicOrigin}/sandbox-payments/${ref}` }
    },

    readCallback(headers, body, nowMs) {
      const isOurs = signatures.isValid(headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER], body, nowMs)
      if (!isOurs) return { kind: 'forged' }
      const event = parse(body)
      return event ? { kind: 'event', event } : { kind: 'unreadable' }
    },

    async find(ref) {
      return mysql.use(async ({ connection }) => {
        const [[row]] = await connection.query<(RowDataPacket & SandboxPayment)[]>(
          `SELECT ref, payment_id AS paymentId, amount_cents AS amountCents, currency, return_url AS returnUrl,
                  pay_before AS payBefore FROM sandbox_payments WHERE ref = ?`,
          [ref],
        )
        return row
      })
    },

    async act(payment, act) {
      const { ref, paymentId, currency } = payment
      const captureCents = act === 'pay-wrong-amount' ? payment.amountCents - 1 : payment.amountCents
      const result = act === 'fail' ? 'failed' : 'succeeded'
      const refs = act === 'pay-twice' ? [ref, `${ref}-2`] : [ref]
      await mysql.transaction(async ({ connection }) => {
        for (const providerRef of refs) {
          if (result === 'succeeded') {
            await connection.query(
              `INSERT INTO sandbox_captures (ref, amount_cents, currency) VALUES (?, ?, ?)
               ON DUPLICATE KEY UPDATE ref = ref`,
              [providerRef, captureCents, currency],
            )
          }
          const event: PaymentEvent = { paymentId, providerRef, result, amountCents: captureCents, currency }
          await connection.query(
            act === 'pay-late'
              ? `INSERT INTO sandbox_callbacks (body, send_at)
                 VALUES (?, GREATEST(UTC_TIMESTAMP(3), ?) + INTERVAL ${LATE_SECONDS} SECOND)`
              : 'INSERT INTO sandbox_callbacks (body, send_at) VALUES (?, UTC_TIMESTAMP(3))',
            act === 'pay-late' ? [JSON.stringify(event), payment.payBefore] : [JSON.stringify(event)],
          )
        }
      })
    },

    async sendDue(send, nowMs) {
      // Moved on before it is sent: of several instances one sends it, and a crash only delays it.
      const due = await mysql.transaction(async ({ connection }) => {
        const [rows] = await connection.query<(RowDataPacket & { id: number; body: string })[]>(
          `SELECT id, body FROM sandbox_callbacks WHERE send_at <= UTC_TIMESTAMP(3)
            ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED`,
          [SEND_MAX],
        )
        if (rows.length > 0) {
          await connection.query(
            `UPDATE sandbox_callbacks SET send_at = UTC_TIMESTAMP(3) + INTERVAL ${RETRY_SECONDS} SECOND WHERE id IN (?)`,
            [rows.map((row) => row.id)],
          )
        }
        return rows
      })
      let taken = 0
      for (const { id, body } of due) {
        const status = await send(signatures.sign(body, nowMs()), body)
        if (status < 200 || status > 299) continue
        await mysql.use(({ connection }) =>
          connection.query('UPDATE sandbox_callbacks SET send_at = NULL WHERE id = ?', [id]),
        )
        taken += 1
      }
      return taken
    },
  }
}

/** The half that the order-worker needs. */
export function createSandboxRefunds(mysql: Mysql): RefundGateway {
  return {
    provider: PROVIDER,
    async refund({ providerRef }) {
      return mysql.use(async ({ connection }) => {
        await connection.query(
          'UPDATE sandbox_captures SET refund_asked_at = UTC_TIMESTAMP(3) WHERE ref = ? AND refund_asked_at IS NULL',
          [providerRef],
        )
        const [given] = await connection.query<ResultSetHeader>(
          `UPDATE sandbox_captures SET refunded_at = COALESCE(refunded_at, UTC_TIMESTAMP(3))
            WHERE ref = ? AND refund_asked_at <= UTC_TIMESTAMP(3) - INTERVAL ${REFUND_TAKES_SECONDS} SECOND`,
          [providerRef],
        )
        if (given.affectedRows === 1) return 'refunded'
        const [[standing]] = await connection.query<(RowDataPacket & { isRefunded: number })[]>(
          'SELECT refunded_at IS NOT NULL AS isRefunded FROM sandbox_captures WHERE ref = ?',
          [providerRef],
        )
        return standing?.isRefunded ? 'refunded' : 'pending'
      })
    },
  }
}

function parse(body: string): PaymentEvent | undefined {
  try {
    const value: unknown = JSON.parse(body)
    return Value.Check(Event, value) ? value : undefined
  } catch {
    return undefined
  }
}
