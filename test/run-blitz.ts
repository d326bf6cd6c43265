import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

import { root } from '../scripts/prepare.mjs'

const BLITZ = ['--import', 'tsx', '--conditions=blitzbuy-source', join(root, 'scripts', 'blitz', 'main.ts')]

/** Runs `blitz` as an operator does, to its end. */
export async function runBlitz(
  args: string[],
  env: Record<string, string>,
  { input = '', filesMax }: { input?: string; filesMax?: number } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const command = [process.execPath, ...BLITZ, ...args]
  const [program = '', ...rest] =
    filesMax === undefined ? command : ['sh', '-c', `ulimit -n ${filesMax}; exec "$@"`, 'sh', ...command]
  const child = spawn(program, rest, { cwd: root, env: { PATH: process.env.PATH, ...env } })
  child.stdin.end(input)
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ])
  return { code, stdout, stderr }
}
