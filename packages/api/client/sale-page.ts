import type { SalePhase } from '@blitzbuy/core/sale/sale-phase'

import { viewerState } from '../src/viewer-state.ts'
import { announce } from './announcer.ts'
import { OFFLINE_RETRY_MS, ask, logIn, wait, type Answer } from './ask.ts'
import { buy, type Bought } from './buy.ts'
import { createHumanCheck } from './human-check.ts'
import { noteSent } from './order-page.ts'
import { createSalePanel } from './sale-panel.ts'
import { createServerClock } from './server-clock.ts'
import { text } from './texts.ts'
import { DAY_MS, MINUTE_MS, SECOND_MS, createThresholds, everySecond, spanOf } from './times.ts'

/** Whoever presses twice meant it once. */
const PRESS_AGAIN_AFTER_MS = 1_000
const QUIET_POLL_MS = 30 * SECOND_MS

/** The page of one sale: it moves on by the server's clock, by news of the sale and by what the shopper does. */
export function runSalePage(page: HTMLElement): void {
  const saleId = page.dataset['saleId'] ?? ''
  const saleUrl = `/api/v1/sales/${saleId}`
  const isLoggedIn = page.dataset['loggedIn'] === 'true'
  const clock = createServerClock(Number(page.dataset['serverNowMs']))
  const panel = createSalePanel(page)
  const countdown = page.querySelector('[data-countdown]') as HTMLElement
  const check = page.querySelector('[data-check]')

  let opensAtMs = Number(page.dataset['opensAtMs'])
  let phase = page.dataset['phase'] as SalePhase
  let returnUntilMs: number | undefined = Number(page.dataset['returnUntilMs']) || undefined
  let isBuying = false
  let isPaused = false
  /** What the human check has bought; the server knows it too, should this page have been loaded anew. */
  let token = { text: '', expiresAtMs: Number(page.dataset['tokenExpiresAtMs']) }
  const checkAheadMs = Number(page.dataset['checkAheadMs'])

  /* The state */

  const isUpcoming = (): boolean => ['not_started', 'warming', 'ready'].includes(panel.state)
  /** An order of this shopper, or that they may not take part, comes before everything that the sale could say. */
  const isSettled = (): boolean => ['queued', 'won', 'already_bought', 'blocked'].includes(panel.state)

  function show(next: SalePhase): void {
    phase = next
    panel.showPhase(phase)
    if (isSettled() || isBuying) return
    const before = panel.state
    const state = viewerState(
      { phase, opensAtMs, checkOpensAtMs: opensAtMs - checkAheadMs, nowMs: clock.nowMs() },
      { isLoggedIn, isBlocked: false, hasToken: token.expiresAtMs > clock.nowMs() },
    )
    if (state === before) return
    panel.show(state, { opensAtMs, returnUntilMs })
    if (state !== 'warming' && state !== 'open_needs_check') humanCheck.close()
    countdown.hidden = !isUpcoming()
    if (phase !== 'open') return announce(panel.reason())
    const when = before === 'sold_out' ? 'back' : 'open'
    announce(
      text(`announce-${when}${{ open_ready: '', open_needs_check: '-check' }[state as string] ?? '-login'}`),
    )
  }

  /* The countdown */

  function countDown(): void {
    const atThreshold = createThresholds([
      [5 * MINUTE_MS, text('announce-minutes', { n: 5 })],
      [MINUTE_MS, text('announce-minute')],
      [10 * SECOND_MS, text('announce-seconds', { n: 10 })],
    ])
    countdown.hidden = false
    everySecond(
      clock,
      () => opensAtMs,
      (leftMs) => {
        if (!isUpcoming()) return
        countdown.textContent = spanOf(leftMs)
        atThreshold(leftMs)
        // Also when the time for the check begins, or a token has expired.
        show(leftMs === 0 ? 'open' : 'upcoming')
      },
    )
    // Somewhere in the last minute, not all at once; at once for whoever comes later than that.
    const leftMs = opensAtMs - clock.nowMs()
    const refineInMs =
      Math.max(0, leftMs - MINUTE_MS) + Math.random() * Math.max(0, Math.min(leftMs, MINUTE_MS) - 5_000)
    if (leftMs < DAY_MS) setTimeout(() => void clock.refine(), leftMs < MINUTE_MS ? 0 : refineInMs)
  }

  /* News of the sale */

  let looking: ReturnType<typeof setTimeout> | undefined
  async function look(): Promise<void> {
    clearTimeout(looking)
    let isOffline = false
    if (document.visibilityState === 'visible' && !isPaused) {
      const answer = await ask(saleUrl)
      isOffline = !answer
      panel.showOffline(isOffline)
      if (answer?.status === 200) takeIn(answer.body)
    }
    if (panel.state === 'ended') return
    const isFar = isUpcoming() && opensAtMs - clock.nowMs() > MINUTE_MS
    const everyMs = isOffline ? OFFLINE_RETRY_MS : isFar ? QUIET_POLL_MS : Number(page.dataset['pollAfterMs'])
    clearTimeout(looking)
    looking = setTimeout(() => void look(), everyMs * (0.8 + Math.random() * 0.4))
  }

  function takeIn(news: Answer['body']): void {
    opensAtMs = Number(news['opensAtMs'])
    const saidUntilMs = returnUntilMs
    returnUntilMs = news['unitsMayReturnUntilMs'] as number | undefined
    panel.showClaimed(Number(news['claimedPercent']), Boolean(news['fewLeft']))
    // The answer may be a second old, the clock here is not.
    const isJustOpen = news['phase'] === 'upcoming' && clock.nowMs() >= opensAtMs
    show(isJustOpen ? 'open' : (news['phase'] as SalePhase))
    if (panel.state === 'sold_out' && returnUntilMs !== saidUntilMs)
      panel.show('sold_out', { opensAtMs, returnUntilMs })
  }

  /** Bought, paid or expired in another tab or on another device: the server draws the page anew. */
  async function lookAtOrder(): Promise<void> {
    if (!isLoggedIn || isBuying) return
    const viewer = await ask(`${saleUrl}/viewer`)
    const found = viewer?.body['viewerState'] as string | undefined
    const isOther = ['queued', 'won', 'already_bought'].includes(found ?? '') || isSettled()
    if (viewer?.status === 200 && isOther && found !== panel.state) location.reload()
  }

  /* Buying */

  async function press(): Promise<void> {
    isBuying = true
    page.querySelector('[data-notice]')?.remove()
    panel.show('submitting', { opensAtMs })
    announce(text('sending-order'))
    const [bought] = await Promise.all([
      buy({
        saleId,
        quantity: Number(new FormData(panel.form).get('quantity') ?? 1),
        clock,
        token: findToken,
        refusal: panel.refusal,
        say: panel.say,
        onConfirming: () => {
          if (panel.state === 'confirming') return
          panel.show('confirming', { opensAtMs })
          announce(panel.reason())
        },
      }),
      wait(PRESS_AGAIN_AFTER_MS),
    ])
    isBuying = false
    conclude(bought)
  }

  function conclude(bought: Bought): void {
    if ('goTo' in bought) {
      noteSent()
      return location.assign(bought.goTo)
    }
    if ('needsCheck' in bought) token = { text: '', expiresAtMs: 0 }
    show('phase' in bought ? bought.phase : phase)
    panel.say(bought.message)
    if ('needsCheck' in bought) humanCheck.open()
  }

  async function findToken(): Promise<string> {
    if (token.text === '') {
      // Checked on an earlier visit of this page, or on another device.
      const viewer = await ask(`${saleUrl}/viewer`)
      if (viewer?.body['purchaseToken']) takeToken(viewer.body)
    }
    return token.text
  }

  function takeToken(held: Answer['body']): void {
    token = { text: String(held['purchaseToken']), expiresAtMs: Number(held['expiresAtMs']) }
  }

  const humanCheck =
    check instanceof HTMLElement
      ? createHumanCheck(check, {
          saleUrl,
          refusal: panel.refusal,
          onDone: (held) => {
            takeToken(held)
            const wasOpen = panel.state === 'open_needs_check'
            show(phase)
            if (wasOpen) void press()
            else {
              announce(`${text('check-done')} ${panel.reason()}`)
              panel.button.focus()
            }
          },
        })
      : { open: () => logIn(`/sales/${saleId}`), close: () => undefined }

  panel.form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (isBuying) return
    if (!panel.isAble) return announce(panel.reason())
    if (!isLoggedIn) return logIn(`/sales/${saleId}`)
    if (panel.state === 'warming' || panel.state === 'open_needs_check') return humanCheck.open()
    void press()
  })

  const pause = page.querySelector('[data-pause-updates]')
  if (pause instanceof HTMLButtonElement && panel.state !== 'ended') {
    pause.hidden = false
    pause.textContent = text('pause')
    pause.addEventListener('click', () => {
      isPaused = !isPaused
      pause.textContent = text(isPaused ? 'resume' : 'pause')
    })
  }

  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState !== 'visible') return
    void look()
    void lookAtOrder()
  })
  addEventListener('online', () => void look())
  addEventListener('offline', () => panel.showOffline(true))

  // Why an earlier try was refused is said once; a reload or a bookmark is about now.
  if (location.search) history.replaceState(null, '', location.pathname)
  // The server cannot know in which zone its times are read.
  if (isUpcoming() || panel.state === 'sold_out') panel.show(panel.state, { opensAtMs, returnUntilMs })
  if (isUpcoming()) countDown()
  looking = setTimeout(() => void look(), Number(page.dataset['pollAfterMs']))
}
