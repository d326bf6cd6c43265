/** Where a process can be made to die or to stop, in the order in which one purchase passes them. */
export const CRASH_POINTS = [
  // api
  'after-reserve',
  'after-publish',
  'after-confirm',
  // order-worker
  'before-commit',
  'after-commit',
  'after-settle',
  // api and order-worker
  'after-pay-commit',
  'after-cancel-commit',
  'after-expire-commit',
  // stock-warmer
  'before-create',
  'after-create',
  'mid-adopt',
  'before-open',
] as const
export type CrashPoint = (typeof CRASH_POINTS)[number]

/** `point`, or `point:3` for the third time that the process comes by. */
const ARMED = new RegExp(`^(${CRASH_POINTS.join('|')})(?::([1-9]\\d{0,5}))?$`)
export const CRASH_POINT_PATTERN = ARMED.source

interface Armed {
  point: CrashPoint
  passesLeft: number
  signal: 'SIGKILL' | 'SIGSTOP'
}

let armed: Armed[] = []

/** Called once at start, with settings that `loadConfig` has accepted: it refuses them in production. */
export function armCrashPoints(config: { CRASH_AT?: string; STOP_AT?: string }): void {
  armed = [arm(config.CRASH_AT, 'SIGKILL'), arm(config.STOP_AT, 'SIGSTOP')].filter((one) => one !== undefined)
}

/**
 * Dies here as by `kill -9`, or stops here until a SIGCONT, when a fault test has armed this point; else nothing.
 *
 * @param afterMs for a point that lies behind a write which leaves the process a moment later
 */
export function crashPoint(point: CrashPoint, afterMs = 0): void {
  if (armed.length === 0) return
  for (const one of armed) {
    if (one.point !== point || --one.passesLeft !== 0) continue
    if (afterMs > 0) setTimeout(() => process.kill(process.pid, one.signal), afterMs)
    else process.kill(process.pid, one.signal)
  }
}

function arm(setting: string | undefined, signal: Armed['signal']): Armed | undefined {
  const match = ARMED.exec(setting ?? '')
  if (!match) return undefined
  return { point: match[1] as CrashPoint, passesLeft: Number(match[2] ?? 1), signal }
}
