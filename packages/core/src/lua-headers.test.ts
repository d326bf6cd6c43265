import { readdirSync } from 'node:fs'

import { describe, expect, it } from 'vitest'

import { blacklistPutScript, blacklistRemoveScript } from './gate/blacklist-entries.ts'
import { countRequestScript } from './gate/limits.ts'
import { strikeScript } from './gate/strikes.ts'
import { issueTokenScript } from './gate/token-places.ts'
import { readLua, type LuaScript } from './redis/lua-script.ts'
import { claimUnsettledScript, confirmRelayedScript } from './reservation/relay.ts'
import * as build from './stock/build-stock.ts'
import { reserveScript } from './stock/reserve.ts'
import { returnScript } from './stock/return-stock.ts'
import { settleScript } from './stock/settle.ts'
import { giveBackLoginTryScript, takeLoginTryScript } from './user/login-tries.ts'

const scripts: LuaScript[] = [
  reserveScript,
  settleScript,
  returnScript,
  claimUnsettledScript,
  confirmRelayedScript,
  blacklistPutScript,
  blacklistRemoveScript,
  strikeScript,
  countRequestScript,
  takeLoginTryScript,
  giveBackLoginTryScript,
  issueTokenScript,
  ...Object.values(build),
]

describe('the header of a Lua script', () => {
  it.each(scripts)('lists the keys and arguments that the wrapper of $file.lua sends', (script) => {
    const lua = readLua(script.file)
    expect(names(lua, 'KEYS', '')).toEqual(script.keys)
    expect(names(lua, 'ARGV', '')).toEqual(script.args)
    expect(names(lua, 'ARGV', '\\+')).toEqual(script.entry)
  })

  it('is held to a wrapper for every file there is', () => {
    const files = readdirSync(new URL('../lua/', import.meta.url)).filter((file) => file.endsWith('.lua'))
    expect(scripts.map((script) => `${script.file}.lua`).toSorted()).toEqual(files.toSorted())
  })
})

/** The names numbered 1, 2, … (or +1, +2, …) under a heading of the header comment. */
function names(lua: string, heading: string, sign: string): string[] {
  const section = lua.split(`  ${heading}\n`)[1]?.split('\n\n')[0] ?? ''
  return [...section.matchAll(new RegExp(`^ {4}${sign}\\d+ {2}(\\w+)`, 'gm'))].map(
    (match) => match[1] as string,
  )
}
