import type { SalePhase } from '@blitzbuy/core/sale/sale-phase'

import type { PageState } from '../src/viewer-state.ts'
import { announce } from './announcer.ts'
import { fill, readTexts, text } from './texts.ts'
import { localMoment, localTime } from './times.ts'

const CLAIMED_STEPS = [50, 80, 95, 100]

/** What a sale's page shows of the state it is in. */
export interface SalePanel {
  readonly state: PageState
  readonly button: HTMLButtonElement
  readonly form: HTMLFormElement
  readonly isAble: boolean
  show(state: PageState, moments: { opensAtMs: number; returnUntilMs?: number | undefined }): void
  showPhase(phase: SalePhase): void
  showClaimed(percent: number, isFewLeft: boolean): void
  /** In place of the reason, and aloud. */
  say: (message: string) => void
  /** Above everything: the server cannot be reached, or can be again. */
  showOffline(isOffline: boolean): void
  reason(): string
  refusal: (code: unknown) => string | undefined
}

/** The server has written down what every state says and may do; this shows one of them. */
export function createSalePanel(page: HTMLElement): SalePanel {
  const find = <T extends HTMLElement>(selector: string): T => page.querySelector(selector) as T
  const template = find<HTMLTemplateElement>('[data-state-texts]')
  const words = readTexts(template, 'text')
  const refusals = readTexts(template, 'refusal')
  const phases = readTexts(template, 'phase')
  const form = find<HTMLFormElement>('[data-buy-form]')
  const button = find<HTMLButtonElement>('[data-control]')
  const reason = find('[data-reason]')
  const headline = find('[data-headline]')
  const chip = find('[data-chip]')
  const claimed = find('[data-claimed]')
  const offline = find('[data-offline]')
  let state = page.dataset['state'] as PageState
  let claimedPercent = Number(page.dataset['claimedPercent'])

  return {
    get state() {
      return state
    },
    button,
    form,
    get isAble() {
      return button.getAttribute('aria-disabled') !== 'true'
    },

    show(next, { opensAtMs, returnUntilMs }) {
      const entry = template.content.querySelector<HTMLElement>(`[data-for="${next}"]`)
      if (!entry) return
      state = next
      page.dataset['state'] = next
      const part = (name: string): string => entry.querySelector(`[data-${name}]`)?.textContent ?? ''
      headline.textContent = part('headline')
      reason.textContent =
        next === 'sold_out' && returnUntilMs
          ? fill(words.get('sold-out-until') ?? '', { time: localTime(returnUntilMs) })
          : fill(part('reason'), { time: localMoment(opensAtMs) })
      button.textContent = part('label')
      if (entry.dataset['able'] === 'true') button.removeAttribute('aria-disabled')
      else button.setAttribute('aria-disabled', 'true')
    },

    showPhase(phase) {
      chip.className = `chip chip-${phase}`
      chip.textContent = phases.get(phase) ?? ''
      claimed.hidden = phase === 'upcoming'
      const isOver = phase === 'sold_out' || phase === 'ended'
      page.querySelector('[data-other-sales]')?.toggleAttribute('hidden', !isOver)
    },

    showClaimed(percent, isFewLeft) {
      const passed = CLAIMED_STEPS.findLast((step) => claimedPercent < step && percent >= step)
      const isOpen = state === 'open_ready' || state === 'open_needs_check' || state === 'login_required'
      if (passed !== undefined && isOpen) announce(text('announce-claimed', { percent: passed }))
      claimedPercent = percent
      const meter = claimed.querySelector('meter')
      if (meter) meter.value = percent
      const line = claimed.querySelector('[data-claimed-text]')
      const message = isFewLeft ? words.get('few-left') : fill(words.get('claimed') ?? '', { percent })
      if (line && line.textContent !== message) line.textContent = message ?? ''
    },

    say(message) {
      reason.textContent = message
      announce(message)
    },

    showOffline(isOffline) {
      if (offline.hidden === !isOffline) return
      offline.hidden = !isOffline
      announce(text(isOffline ? 'offline' : 'online'))
    },

    reason: () => reason.textContent ?? '',
    refusal: (code) => (typeof code === 'string' ? refusals.get(code) : undefined),
  }
}
