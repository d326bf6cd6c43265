import { execFileSync } from 'node:child_process'

import { RELEASE } from '@blitzbuy/core/release'
import type { Command } from 'commander'

import { root } from '../prepare.mjs'

export function registerVersion(blitz: Command): void {
  blitz
    .command('version')
    .description('the release, its commit, and the Node that runs it')
    .option('--json', 'one JSON object on stdout')
    .action(({ json }: { json?: true }) => {
      const version = { version: RELEASE, commit: commitHere(), node: process.version }
      process.stdout.write(
        json
          ? `${JSON.stringify(version)}\n`
          : `blitzbuy ${version.version}  commit ${version.commit}  node ${version.node}\n`,
      )
    })
}

/** In an image there is no repository, and the image says what it was built from. */
function commitHere(): string {
  if (process.env.COMMIT) return process.env.COMMIT
  try {
    return execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'unknown'
  }
}
