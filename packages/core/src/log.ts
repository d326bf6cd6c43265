import { pino, type DestinationStream, type Logger } from 'pino'

import { StoreAway } from './errors.ts'

export type { Logger } from 'pino'

/** What must not be in a line, wherever somebody may once put it by mistake. */
const SECRET_FIELDS = [
  'password',
  'passwordHash',
  'phone',
  'cookie',
  'authorization',
  'purchaseToken',
  'formToken',
]

/** JSON lines on stdout: objects first, one constant message second. Secrets never get this far; these are the net. */
export function createLog(
  options: { name: string; level: string },
  destination: DestinationStream = pino.destination(1),
): Logger {
  return pino(
    {
      name: options.name,
      level: options.level,
      redact: {
        paths: [
          ...SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]),
          'req.headers.cookie',
          'req.headers.authorization',
          'req.headers["x-purchase-token"]',
        ],
        censor: '[hidden]',
      },
      serializers: { err: (error: unknown) => serializeError(error) },
    },
    destination,
  )
}

/**
 * Type, code and stack, down the chain of causes; of a store that is away no stack, which says nothing that the message
 * does not, and which would cost a process that is busy refusing more than the refusals. Never a statement or its
 * parameters: they hold people's data.
 */
function serializeError(error: unknown, hasStack = !(error instanceof StoreAway)): unknown {
  if (!(error instanceof Error)) return { type: typeof error }
  const isSql = 'sql' in error || 'query' in error
  const { code } = error as { code?: unknown }
  return {
    type: error.name,
    message: isSql ? '[hidden: a statement]' : error.message,
    ...(typeof code === 'string' && { code }),
    stack: isSql || !hasStack ? undefined : error.stack?.split('\n').slice(1, 8).join('\n'),
    ...(error.cause instanceof Error && { cause: serializeError(error.cause, hasStack) }),
  }
}
