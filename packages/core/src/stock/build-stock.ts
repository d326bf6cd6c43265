import { UnexpectedReply } from '../errors.ts'
import type { LuaScript } from '../redis/lua-script.ts'

/** What a stock-warmer tells Redis: the three steps that build a copy, and what is noted of it until it is removed. */

/** The typed face of lua/create.lua. */
export const createStockScript = {
  file: 'create',
  keys: ['stock', 'holds', 'holders'],
  args: ['epoch', 'revision', 'quota', 'opensAtMs', 'closesAtMs', 'unitsPerUser', 'openAs', 'runId'],
  entry: [],
  decode: oneOf('create', ['created', 'fenced']),
} as const satisfies LuaScript

/** The typed face of lua/adopt-ledger.lua; `cursor` is '0' after the last page. */
export const adoptLedgerScript = {
  file: 'adopt-ledger',
  keys: ['stock', 'holds', 'holders', 'unsettled'],
  args: ['epoch', 'cursor'],
  entry: [],
  decode: (reply: unknown): { kind: 'adopted' | 'fenced'; cursor: string } => {
    const [kind, cursor] = reply as [unknown, unknown]
    return { kind: oneOf('adopt-ledger', ['adopted', 'fenced'])(kind), cursor: String(cursor) }
  },
} as const satisfies LuaScript

/** The typed face of lua/adopt-orders.lua. */
export const adoptOrdersScript = {
  file: 'adopt-orders',
  keys: ['stock', 'holds', 'holders', 'orderPrefix'],
  args: ['epoch', 'decidedAtMs'],
  entry: ['orderId', 'userId', 'quantity'],
  decode: oneOf('adopt-orders', ['adopted', 'fenced', 'stale']),
} as const satisfies LuaScript

/** The typed face of lua/open.lua. */
export const openStockScript = {
  file: 'open',
  keys: ['stock'],
  args: ['epoch', 'saleId', 'channel'],
  entry: [],
  decode: oneOf('open', ['opened', 'fenced']),
} as const satisfies LuaScript

/** The typed face of lua/configure.lua: an operator's change of a sale whose copy stands. */
export const configureStockScript = {
  file: 'configure',
  keys: ['stock'],
  args: ['saleId', 'revision', 'quota', 'opensAtMs', 'closesAtMs', 'openAs', 'channel'],
  entry: [],
  decode: oneOf('configure', ['configured', 'unchanged', 'not_warmed']),
} as const satisfies LuaScript

/** The typed face of lua/note-restart.lua. */
export const noteRestartScript = {
  file: 'note-restart',
  keys: ['stock'],
  args: ['runId', 'saleId', 'channel'],
  entry: [],
  decode: oneOf('note-restart', ['noted', 'known', 'not_warmed']),
} as const satisfies LuaScript

/** The typed face of lua/note-reconciled.lua. */
export const noteReconciledScript = {
  file: 'note-reconciled',
  keys: ['stock'],
  args: ['epoch'],
  entry: [],
  decode: oneOf('note-reconciled', ['noted', 'fenced']),
} as const satisfies LuaScript

/** The typed face of lua/relist.lua. */
export const relistScript = {
  file: 'relist',
  keys: ['stock', 'holds', 'unsettled', 'unsettledDue'],
  args: ['requestId'],
  entry: ['orderId', 'userId', 'quantity'],
  decode: Number,
} as const satisfies LuaScript

/** The typed face of lua/remove.lua. */
export const removeStockScript = {
  file: 'remove',
  keys: ['stock', 'holds', 'holders', 'unsettled', 'unsettledDue', 'places', 'times', 'spent'],
  args: ['epoch'],
  entry: [],
  decode: oneOf('remove', ['removed', 'unsettled', 'fenced']),
} as const satisfies LuaScript

function oneOf<const Word extends string>(script: string, words: readonly Word[]) {
  return (reply: unknown): Word => {
    const word = words.find((known) => known === reply)
    if (word === undefined) throw new UnexpectedReply(script, reply)
    return word
  }
}
