import { readFileSync } from 'node:fs'

import { defaultCredentials } from '@blitzbuy/core/default-credentials'

import { judge, type Finding } from './finding.ts'

/** Each shopper who waits is a socket. */
const FILES_MIN = 4_096
const NODE_MIN = [20, 19] as const

/** This host, and what the environment says. */
export function checkHost(env: NodeJS.ProcessEnv): Finding[] {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const known = defaultCredentials(env)
  const files = openFilesMax()
  return [
    judge(
      'node version',
      major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]),
      process.versions.node,
      `Node ${NODE_MIN.join('.')} or newer is needed.`,
    ),
    judge(
      'credentials',
      known.length === 0,
      known.length === 0 ? 'none that everybody knows' : `well known: ${known.join(', ')}`,
      'Choose secrets of your own: openssl rand -base64 36. No process starts with these when NODE_ENV=production.',
    ),
    judge(
      'open files',
      files === undefined || files >= FILES_MIN,
      files === undefined ? 'unknown' : String(files),
      `ulimit -n ${FILES_MIN} or more (LimitNOFILE= of systemd): each shopper who waits is a socket.`,
    ),
  ]
}

/** The soft limit; undefined where there is no /proc. */
function openFilesMax(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return undefined
  }
}
