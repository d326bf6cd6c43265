import { announce } from './announcer.ts'
import type { ServerClock } from './server-clock.ts'
import { text } from './texts.ts'

export const SECOND_MS = 1_000
export const MINUTE_MS = 60 * SECOND_MS
export const DAY_MS = 24 * 60 * MINUTE_MS

/** A moment in the zone of this browser, which is named. */
export function localMoment(epochMs: number): string {
  return createFormat({ year: 'numeric', month: 'short', day: 'numeric' }).format(epochMs)
}

/** The same without the date, for what is near. */
export function localTime(epochMs: number): string {
  return createFormat({}).format(epochMs)
}

function createFormat(date: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const { lang } = document.documentElement
  // The page's language as this shopper writes it: en-GB has other times than en-US.
  const locale = navigator.languages.find((language) => language.split('-')[0] === lang.split('-')[0]) ?? lang
  return new Intl.DateTimeFormat(locale, {
    ...date,
    hour: 'numeric',
    minute: '2-digit',
    timeZoneName: 'short',
  })
}

export function sayTimesInLocalZone(within: ParentNode): void {
  for (const time of within.querySelectorAll('time[datetime]')) {
    const atMs = Date.parse(time.getAttribute('datetime') ?? '')
    time.textContent = time.hasAttribute('data-time-only') ? localTime(atMs) : localMoment(atMs)
  }
}

/** 00:42, 1:02:03, or 2 d 03:04:05. */
export function spanOf(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / SECOND_MS))
  const two = (n: number): string => String(n).padStart(2, '0')
  const days = Math.floor(seconds / 86_400)
  const hours = Math.floor((seconds % 86_400) / 3_600)
  const rest = `${two(Math.floor((seconds % 3_600) / 60))}:${two(seconds % 60)}`
  if (days > 0) return `${text('days', { n: days })} ${two(hours)}:${rest}`
  return hours > 0 ? `${hours}:${rest}` : rest
}

/** Calls `show` once in every second of the server, and exactly at the end, until the end. */
export function everySecond(
  clock: ServerClock,
  endsAtMs: () => number,
  show: (leftMs: number) => void,
): void {
  const tick = (): void => {
    const leftMs = endsAtMs() - clock.nowMs()
    show(Math.max(0, leftMs))
    // A long time-out would overflow, a hidden page be late: both are put right at the next tick.
    if (leftMs > 0) setTimeout(tick, leftMs % SECOND_MS || SECOND_MS)
  }
  tick()
}

/** Says a sentence at each threshold that is passed while the page is open. */
export function createThresholds(
  thresholds: readonly (readonly [atMs: number, sentence: string])[],
): (leftMs: number) => void {
  let before = Number.NaN
  return (leftMs) => {
    for (const [atMs, sentence] of thresholds) if (before > atMs && leftMs <= atMs) announce(sentence)
    before = leftMs
  }
}
