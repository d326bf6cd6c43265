import type { RefusalCode } from '../refusals.ts'
import type { en } from './en.ts'

export type TextKey = keyof typeof en

/** What a file of another language has to export: the same keys, no more and no fewer. */
export type Messages = Record<TextKey, string>

export type Text = (key: TextKey, values?: Record<string, string | number>) => string

/** One language: its texts, and how it writes money and time. */
export interface Language {
  /** For the `lang` attribute, the cookie and the switch. */
  tag: string
  /** As its own speakers call it. */
  name: string
  text: Text
  /** Texts whose key begins with `client.`, without that beginning. */
  clientTexts: Record<string, string>
  /** Titles of problems where they are not the English ones of refusals.ts. */
  problems: Partial<Record<RefusalCode, string>>
  money: (cents: number, currency: string) => string
  count: (n: number) => string
  /** A moment with its zone, e.g. `Jan 1, 2026, 8:00 PM UTC`. */
  moment: (epochMs: number) => string
  /** The same without the date, for what is near. */
  time: (epochMs: number) => string
}

export function createLanguage(options: {
  tag: string
  locale: string
  name: string
  messages: Messages
  problems?: Language['problems']
}): Language {
  const { tag, locale, name, messages, problems = {} } = options
  const clock = {
    hour: 'numeric',
    minute: '2-digit',
    // Where a shopper is nobody knows until the script says these moments in the zone of the browser.
    timeZone: 'UTC',
    timeZoneName: 'short',
  } as const
  const moments = new Intl.DateTimeFormat(locale, {
    year: 'numeric',
    month: 'short',
    day: 'numeric',
    ...clock,
  })
  const times = new Intl.DateTimeFormat(locale, clock)
  const counts = new Intl.NumberFormat(locale)
  const currencies = new Map<string, Intl.NumberFormat>()

  const currencyFormat = (currency: string): Intl.NumberFormat => {
    let format = currencies.get(currency)
    if (!format)
      currencies.set(currency, (format = new Intl.NumberFormat(locale, { style: 'currency', currency })))
    return format
  }

  return {
    tag,
    name,
    problems,
    text: (key, values) => {
      const message: string | undefined = messages[key]
      // Templates are not type-checked: a mistyped key must not become the word "undefined" on a page.
      if (message === undefined) throw new TypeError(`there is no text ${key}`)
      return values ? fillIn(message, values) : message
    },
    clientTexts: Object.fromEntries(
      Object.entries(messages).flatMap(([key, message]) =>
        key.startsWith('client.') ? [[key.slice('client.'.length), message]] : [],
      ),
    ),
    money: (cents, currency) => {
      const format = currencyFormat(currency)
      return format.format(cents / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2))
    },
    count: (n) => counts.format(n),
    moment: (epochMs) => moments.format(epochMs),
    time: (epochMs) => times.format(epochMs),
  }
}

function fillIn(message: string, values: Record<string, string | number>): string {
  return message.replaceAll(/\{(\w+)\}/g, (placeholder, name: string) => String(values[name] ?? placeholder))
}
