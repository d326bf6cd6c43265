import { announce, announceNow } from './announcer.ts'
import { OFFLINE_RETRY_MS, ask, backoffMs, logIn, type Answer } from './ask.ts'
import { sendOnce } from './forms.ts'
import { createServerClock } from './server-clock.ts'
import { fill, text } from './texts.ts'
import { MINUTE_MS, SECOND_MS, createThresholds, everySecond, sayTimesInLocalZone, spanOf } from './times.ts'

/** Set in this tab when a purchase leads to its order's page. */
const SENT = 'blitz-sent'
const POSITION_ALOUD_EVERY_MS = 10 * SECOND_MS
/** A stream that nobody looks at takes one of the browser's six connections. */
const HIDDEN_STREAM_MS = 30 * SECOND_MS
const PAYING_POLL_MS = 2 * SECOND_MS
const PAYING_POLLS_MAX = 90

export function noteSent(): void {
  sessionStorage.setItem(SENT, '1')
}

/** The page of one order: the server draws each state, this brings the next one as soon as there is one. */
export function runOrderPage(page: HTMLElement): void {
  // Whoever has just pressed Buy is led to what came of it, once.
  if (sessionStorage.getItem(SENT) !== null) {
    sessionStorage.removeItem(SENT)
    page.querySelector<HTMLElement>('h1')?.focus()
  }
  run(page)
}

function run(page: HTMLElement): void {
  const { orderId = '', state = '' } = page.dataset
  const ending = new AbortController()
  const change = async (): Promise<void> => {
    if (ending.signal.aborted) return
    ending.abort()
    await showAnew(page)
  }
  if (state === 'queued') waitForResult(page, orderId, ending.signal, change)
  if (state === 'awaiting_payment') countDown(page, orderId, ending.signal, change)
}

/** The page as the server draws it now takes the place of this one; the shopper keeps scroll, focus and sound. */
async function showAnew(page: HTMLElement): Promise<void> {
  let html: string
  try {
    const response = await fetch(location.pathname, { headers: { accept: 'text/html' } })
    if (!response.ok || response.redirected) return location.reload()
    html = await response.text()
  } catch {
    setTimeout(() => void showAnew(page), OFFLINE_RETRY_MS)
    return
  }
  const fresh = new DOMParser().parseFromString(html, 'text/html')
  const next = fresh.querySelector<HTMLElement>('[data-order]')
  if (!next) return location.reload()
  const hadFocus = page.contains(document.activeElement)
  document.title = fresh.title
  page.replaceWith(next)
  sayTimesInLocalZone(next)
  for (const form of next.querySelectorAll('form[data-once]')) sendOnce(form)
  if (hadFocus) next.querySelector<HTMLElement>('h1')?.focus()
  announceNow(
    [next.querySelector('h1'), next.querySelector('[data-order-text]')]
      .map((element) => element?.textContent?.trim() ?? '')
      .join('. '),
  )
  run(next)
}

/** Events of the server; without them, or without a place among its streams, questions at the interval it sets. */
function waitForResult(
  page: HTMLElement,
  orderId: string,
  ended: AbortSignal,
  change: () => Promise<void>,
): void {
  const line = page.querySelector('[data-order-text]')
  const url = `/api/v1/orders/${orderId}`
  let source: EventSource | undefined
  let polling: ReturnType<typeof setTimeout> | undefined
  let hiding: ReturnType<typeof setTimeout> | undefined
  let saidAtMs = performance.now()
  let saidAhead = Number.NaN

  function showAhead(ahead: unknown): void {
    if (!line || typeof ahead !== 'number') return
    const key = ahead > 0 ? 'queued' : 'queuedFirst'
    line.textContent = fill(page.dataset[key] ?? '', {
      n: ahead.toLocaleString(document.documentElement.lang),
    })
    const isOtherMagnitude = String(ahead).length !== String(saidAhead).length
    if (ahead === saidAhead || (!isOtherMagnitude && performance.now() - saidAtMs < POSITION_ALOUD_EVERY_MS))
      return
    saidAhead = ahead
    saidAtMs = performance.now()
    announce(line.textContent)
  }

  function showOffline(): void {
    const message = text('offline')
    if (!line || line.textContent === message) return
    line.textContent = message
    saidAhead = Number.NaN
    announce(message)
  }

  async function poll(failures = 0): Promise<void> {
    const answer = await ask(url)
    if (ended.aborted) return
    if (answer?.status === 401) return logIn(`/orders/${orderId}`)
    if (answer?.status === 200 && answer.body['state'] !== 'queued') return change()
    if (answer?.status === 200) {
      showAhead(answer.body['aheadAbout'])
      polling = setTimeout(() => void poll(), Number(answer.body['pollAfterMs'] ?? OFFLINE_RETRY_MS))
      return
    }
    if (!answer) showOffline()
    polling = setTimeout(() => void poll(failures + 1), Math.max(OFFLINE_RETRY_MS, backoffMs(failures)))
  }

  function listen(): void {
    clearTimeout(polling)
    source = new EventSource(`${url}/events`)
    const read = (event: MessageEvent<string>): Answer['body'] => JSON.parse(event.data) as Answer['body']
    source.addEventListener('order', (event) => {
      const order = read(event)
      if (order['state'] === 'queued') return showAhead(order['aheadAbout'])
      source?.close()
      void change()
    })
    source.addEventListener('ahead', (event) => showAhead(read(event)['aheadAbout']))
    source.addEventListener('error', () => {
      // Refused for good, or between two connections: either way asking is what can be done meanwhile.
      clearTimeout(polling)
      polling = setTimeout(() => void poll(), source?.readyState === EventSource.CLOSED ? 0 : SECOND_MS)
    })
    source.addEventListener('open', () => clearTimeout(polling))
  }

  listen()
  document.addEventListener(
    'visibilitychange',
    () => {
      clearTimeout(hiding)
      if (document.visibilityState === 'hidden') hiding = setTimeout(() => source?.close(), HIDDEN_STREAM_MS)
      else if (source?.readyState === EventSource.CLOSED) listen()
    },
    { signal: ended },
  )
  addEventListener('offline', showOffline, { signal: ended })
  addEventListener('online', () => void poll(), { signal: ended })
  ended.addEventListener('abort', () => {
    source?.close()
    clearTimeout(polling)
    clearTimeout(hiding)
  })
}

/** The time to pay, and whether it was paid meanwhile: here, in another tab, or just now at the provider. */
function countDown(
  page: HTMLElement,
  orderId: string,
  ended: AbortSignal,
  change: () => Promise<void>,
): void {
  const place = page.querySelector('[data-pay-countdown]') as HTMLElement
  const clock = createServerClock(Number(page.dataset['serverNowMs']))
  const atThreshold = createThresholds([
    [5 * MINUTE_MS, text('paying-minutes', { n: 5 })],
    [2 * MINUTE_MS, text('paying-minutes', { n: 2 })],
    [MINUTE_MS, text('paying-minute')],
    [30 * SECOND_MS, text('paying-seconds', { n: 30 })],
  ])

  async function look(times: number): Promise<void> {
    const answer = await ask(`/api/v1/orders/${orderId}`)
    if (ended.aborted) return
    if (answer?.status === 200 && answer.body['state'] !== 'awaiting_payment') return change()
    if (times > 1) setTimeout(() => void look(times - 1), PAYING_POLL_MS)
  }

  place.hidden = false
  everySecond(
    clock,
    () => Number(page.dataset['payBeforeMs']),
    (leftMs) => {
      if (ended.aborted) return
      place.textContent = leftMs > 0 ? spanOf(leftMs) : text('pay-over')
      atThreshold(leftMs)
      // The order ends with the next sweep; until then it can still be paid.
      if (leftMs === 0) void look(PAYING_POLLS_MAX)
    },
  )
  if (page.dataset['isPaying'] === 'true') void look(PAYING_POLLS_MAX)
  document.addEventListener(
    'visibilitychange',
    () => void (document.visibilityState === 'visible' && look(1)),
    { signal: ended },
  )
}
