import { prettyFactory } from 'pino-pretty'

import { hasColours, paint } from '../steps.mjs'

const WARN = 40
const KEPT_LINES = 30

/** What a process prints: shown readably, and its end kept for the case that it dies. */
export interface ProcessOutput {
  take(line: string): void
  lastLines(): string[]
}

const width = 'stock-warmer'.length

export function createProcessOutput(name: string, say: (line: string) => void): ProcessOutput {
  const shared = {
    colorize: hasColours(),
    ignore: 'pid,hostname,name',
    translateTime: 'SYS:HH:MM:ss',
    singleLine: true,
  }
  const whole = prettyFactory(shared)
  const brief = prettyFactory({ ...shared, hideObject: true, messageFormat: briefly })
  const prefix = paint('dim', name.padEnd(width))
  const kept: string[] = []

  return {
    take(line) {
      if (line.trim() === '') return
      // A warning is shown with all it has; of the rest only what fits on a line.
      const pretty = (levelOf(line) < WARN ? brief : whole)(line)
      kept.push(line)
      if (kept.length > KEPT_LINES) kept.shift()
      for (const part of pretty.trimEnd().split('\n')) say(`${prefix}  ${part}`)
    },
    lastLines: () => kept.map((line) => whole(line).trimEnd()),
  }
}

const shownAlready = new Set(['level', 'time', 'pid', 'hostname', 'name', 'msg'])

/** The message and the plain values beside it; whole requests and the like are left out. */
function briefly(log: Record<string, unknown>, messageKey: string): string {
  const values = Object.entries(log)
    .filter(
      ([key, value]) => !shownAlready.has(key) && ['string', 'number', 'boolean'].includes(typeof value),
    )
    .map(([key, value]) => `${key}=${String(value)}`)
  return [log[messageKey], ...values].join('  ')
}

/** Anything that is not a log line, such as the stack of a crash, is shown whole. */
function levelOf(line: string): number {
  try {
    return Number((JSON.parse(line) as { level?: unknown }).level ?? WARN)
  } catch {
    return WARN
  }
}
