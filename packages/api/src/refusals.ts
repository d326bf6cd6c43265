import { StoreAway, StoreCrowded } from '@blitzbuy/core/errors'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'

/** What each code means to the api: a status, and one sentence for the person behind the client. */
export const REFUSALS = {
  'request-invalid': { status: 400, title: 'The request is not valid.' },
  'login-required': { status: 401, title: 'Log in first.' },
  'captcha-required': { status: 401, title: 'Show that you are a person, then try again.' },
  'credentials-invalid': { status: 401, title: 'Phone number or password is incorrect.' },
  'signature-invalid': { status: 401, title: 'The signature is missing, wrong or too old.' },
  'cross-site': { status: 403, title: 'This request came from another site.' },
  'csrf-invalid': { status: 403, title: 'This form was too old, or not ours.' },
  blocked: { status: 403, title: 'You cannot take part. Contact support with the id of this request.' },
  'purchase-token-invalid': { status: 403, title: 'Show first that you are a person: get a purchase token.' },
  'not-found': { status: 404, title: 'There is nothing here.' },
  'method-not-allowed': { status: 405, title: 'This method is not allowed here.' },
  'request-timeout': { status: 408, title: 'The request did not arrive in time.' },
  'phone-taken': { status: 409, title: 'This phone number already has an account.' },
  'sold-out': { status: 409, title: 'Sold out.' },
  'too-few-left': { status: 409, title: 'Fewer units are left than you asked for.' },
  'sale-not-open': { status: 409, title: 'The sale has not opened yet.' },
  'sale-closed': { status: 409, title: 'The sale is over.' },
  'sale-paused': { status: 409, title: 'The sale is paused.' },
  'limit-exceeded': { status: 409, title: 'This is more than one person may buy.' },
  'tokens-exhausted': { status: 409, title: 'All places to try are taken for now.' },
  'order-queued': { status: 409, title: 'The order is still being placed.' },
  'order-expired': { status: 409, title: 'The time to pay for this order is over.' },
  'order-cancelled': { status: 409, title: 'This order was cancelled.' },
  'order-paid': { status: 409, title: 'This order is paid.' },
  'cooling-down': { status: 409, title: 'You have just cancelled an order of this sale. Wait a moment.' },
  'order-rejected': { status: 409, title: 'This order could not be filled.' },
  'body-too-large': { status: 413, title: 'The body is too large.' },
  'media-type-unsupported': { status: 415, title: 'Send application/json.' },
  'phone-invalid': { status: 422, title: 'This is not a US or Chinese phone number.' },
  'headers-too-large': { status: 431, title: 'The headers are too large.' },
  'rate-limited': { status: 429, title: 'You are going too fast.' },
  'password-weak': {
    status: 422,
    title:
      'Use 8 to 128 characters: not a password that many people have, this site’s name or your phone number.',
  },
  'password-incorrect': { status: 422, title: 'The old password is incorrect.' },
  'captcha-incorrect': { status: 422, title: 'That answer does not match.' },
  'captcha-expired': { status: 422, title: 'This challenge is used up or too old.' },
  // Of operators.
  'second-factor-required': { status: 401, title: 'Show your second factor first.' },
  'second-factor-incorrect': { status: 422, title: 'This code is wrong, used or too old.' },
  'second-factor-locked': { status: 429, title: 'There were too many wrong codes.' },
  'second-factor-missing': { status: 409, title: 'Set up the second factor on /admin/second-factor first.' },
  'changed-meanwhile': { status: 409, title: 'Somebody else has changed this. Look at it again.' },
  'change-refused': { status: 422, title: 'This cannot be changed so.' },
  'confirmation-missing': { status: 422, title: 'Repeat the id of the sale to confirm.' },
  'blacklist-full': { status: 409, title: 'The blacklist is full.' },
  'dead-letters-in-hand': { status: 409, title: 'Another operator has the dead letters in hand.' },
  internal: { status: 500, title: 'Something went wrong on our side.' },
  'dependency-unavailable': { status: 503, title: 'We cannot do this right now.' },
  'payments-unavailable': { status: 503, title: 'Payments are switched off.' },
  'sale-warming': { status: 503, title: 'The sale is about to start.' },
  overloaded: { status: 503, title: 'We are very busy, and nothing was done yet.' },
  'outcome-unknown': {
    status: 503,
    title: 'We do not know yet whether this succeeded. Ask again with x-purchase-retry: 1.',
  },
  draining: { status: 503, title: 'This instance is shutting down.' },
} as const satisfies Record<string, { status: number; title: string }>

export type RefusalCode = keyof typeof REFUSALS

export interface FieldError {
  field: string
  message: string
}

export interface Refusal {
  code: RefusalCode
  retryAfterMs?: number
  errors?: FieldError[]
  /** Members of their own that a code brings, e.g. `opensAtMs`. */
  details?: Record<string, number | string>
}

/** Answers with application/problem+json; `Retry-After` where waiting helps. */
export function refuse(reply: FastifyReply, refusal: Refusal): FastifyReply {
  const { retryAfterMs } = refusal
  const { id, language } = reply.request
  const { status, body } = problemOf(refusal, id, language?.problems[refusal.code])
  reply.refusalCode = refusal.code
  if (retryAfterMs !== undefined) reply.header('retry-after', Math.max(1, Math.ceil(retryAfterMs / 1000)))
  return reply.code(status).header('cache-control', 'no-store').type('application/problem+json').send(body)
}

/** The beginning of each code's body, by code and title: it never changes, and "sold out" is said to millions. */
const HEADS = new Map<string, Map<string, string>>()

function headOf(code: RefusalCode, status: number, title: string): string {
  let heads = HEADS.get(code)
  if (heads === undefined) HEADS.set(code, (heads = new Map()))
  let head = heads.get(title)
  if (head === undefined) heads.set(title, (head = JSON.stringify({ status, title, code }).slice(0, -1)))
  return head
}

/** A refusal as it is sent. */
export function problemOf(
  { code, retryAfterMs, errors, details }: Refusal,
  requestId?: string,
  localTitle?: string,
): { status: number; body: string } {
  const { status, title } = REFUSALS[code]
  let body = headOf(code, status, localTitle ?? title)
  // Request ids and the names of details are our own, and plain.
  if (requestId !== undefined) body += `,"requestId":"${requestId}"`
  if (retryAfterMs !== undefined) body += `,"retryAfterMs":${JSON.stringify(retryAfterMs)}`
  if (errors) body += `,"errors":${JSON.stringify(errors)}`
  for (const name in details) body += `,"${name}":${JSON.stringify(details[name])}`
  return { status, body: `${body}}` }
}

export const RETRY_SOON_MS = 1_000
const RETRY_LATER_MS = { min: 1_000, max: 3_000 }

/** Not all of those who were refused in one moment come back in one moment. */
export function retryLaterMs(): number {
  return Math.round(RETRY_LATER_MS.min + Math.random() * (RETRY_LATER_MS.max - RETRY_LATER_MS.min))
}

/** The refusal behind a thrown error. Only `internal` is our own fault, and only it is logged with its stack. */
export function refusalOf(error: FastifyError | Error): Refusal {
  if (error instanceof StoreCrowded) return { code: 'overloaded', retryAfterMs: retryLaterMs() }
  if (error instanceof StoreAway) return { code: 'dependency-unavailable', retryAfterMs: RETRY_SOON_MS }
  const { code, validation, validationContext, statusCode } = error as FastifyError
  if (validation) {
    return {
      code: 'request-invalid',
      errors: validation.map((problem) => fieldError(problem, validationContext)),
    }
  }
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return { code: 'body-too-large' }
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return { code: 'media-type-unsupported' }
    case 'FST_CSRF_MISSING_SECRET':
    case 'FST_CSRF_INVALID_TOKEN':
      return { code: 'csrf-invalid' }
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return { code: 'request-invalid', errors: [{ field: 'body', message: 'must not be empty' }] }
    default:
  }
  if (statusCode === 400) {
    return { code: 'request-invalid', errors: [{ field: 'body', message: 'could not be read' }] }
  }
  return { code: 'internal' }
}

export function answerWithProblem(
  error: FastifyError | Error,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const refusal = refusalOf(error)
  logRefusal(request, refusal, error)
  refuse(reply, refusal)
}

/** One line a second says it: a process that refuses thousands has better things to do. */
const CROWDED_LINE_MS = 1_000
let crowdedLineAtMs = Number.NEGATIVE_INFINITY

function isNews(error: Error): boolean {
  if (!(error instanceof StoreCrowded)) return true
  const nowMs = performance.now()
  if (nowMs - crowdedLineAtMs < CROWDED_LINE_MS) return false
  crowdedLineAtMs = nowMs
  return true
}

export function logRefusal(request: FastifyRequest, refusal: Refusal, error: Error): void {
  if (refusal.code === 'internal') request.log.error({ err: error }, 'request failed')
  else if (REFUSALS[refusal.code].status >= 500 && isNews(error))
    request.log.warn({ err: error }, 'request refused')
}

interface SchemaProblem {
  instancePath: string
  keyword: string
  message?: string
  params?: Record<string, unknown>
}

function fieldError(problem: SchemaProblem, context = 'body'): FieldError {
  const { instancePath, keyword, message = 'is not valid', params = {} } = problem
  const path = instancePath.slice(1).replaceAll('/', '.')
  if (keyword === 'required')
    return { field: join(path, String(params['missingProperty'])), message: 'is required' }
  if (keyword === 'additionalProperties') {
    return { field: join(path, String(params['additionalProperty'])), message: 'is not a known field' }
  }
  return { field: path || context, message }
}

function join(path: string, name: string): string {
  return path ? `${path}.${name}` : name
}
