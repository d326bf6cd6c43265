import { readFileSync } from 'node:fs'

import type { Redis } from 'ioredis'

import { toRedisFault } from './connect-redis.ts'

/** What a Lua file takes and gives back, in the order its header lists them. */
export interface LuaScript<
  Key extends string = string,
  Arg extends string = string,
  Field extends string = string,
  Outcome = unknown,
> {
  readonly file: string
  readonly keys: readonly Key[]
  readonly args: readonly Arg[]
  /** For a script that takes a list: the fields of each of its entries, sent behind the arguments. */
  readonly entry: readonly Field[]
  /** Turns the raw reply into an outcome; throws UnexpectedReply when it is not one. */
  readonly decode: (reply: unknown) => Outcome
}

export type RunScript<Key extends string, Arg extends string, Field extends string, Outcome> = (
  keys: Record<Key, string>,
  args: Record<Arg, string | number>,
  entries?: readonly Record<Field, string | number>[],
) => Promise<Outcome>

/** More entries in one call would hold up every other command for too long (200 take about 3 ms). */
export const LIST_MAX = 256

/**
 * Loads a script onto a connection and returns the function that runs it.
 *
 * Keys and arguments are passed by name, so a caller cannot swap two of them. ioredis sends EVALSHA and falls
 * back to EVAL when the server does not know the script (any more).
 *
 * @throws StoreAway with an `unknown` outcome when the answer was lost: the script may have run.
 */
export function bindScript<Key extends string, Arg extends string, Field extends string, Outcome>(
  redis: Redis,
  script: LuaScript<Key, Arg, Field, Outcome>,
): RunScript<Key, Arg, Field, Outcome> {
  if (!(script.file in redis)) {
    redis.defineCommand(script.file, { numberOfKeys: script.keys.length, lua: readLua(script.file) })
  }
  const command = Reflect.get(redis, script.file) as (...parts: (string | number)[]) => Promise<unknown>

  return async (keys, args, entries = []) => {
    const parts: (string | number)[] = []
    for (const key of script.keys) parts.push(keys[key])
    for (const arg of script.args) parts.push(args[arg])
    for (const entry of entries) for (const field of script.entry) parts.push(entry[field])
    let reply: unknown
    try {
      reply = await command.apply(redis, parts)
    } catch (error) {
      throw toRedisFault(error)
    }
    return script.decode(reply)
  }
}

/** The text of a script with its `--- @include name` lines replaced by lua/includes/name.lua. */
export function readLua(file: string): string {
  return readLuaFile(`${file}.lua`).replaceAll(/^--- @include (\S+)$/gm, (_line, name: string) =>
    readLuaFile(`includes/${name}.lua`),
  )
}

/** lua/ sits beside both src/ and dist/, so one relative URL serves source and build. */
function readLuaFile(path: string): string {
  return readFileSync(new URL(`../../lua/${path}`, import.meta.url), 'utf8')
}
