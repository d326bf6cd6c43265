import { logIn, post, type Answer } from './ask.ts'
import { doWork } from './do-work.ts'
import { text } from './texts.ts'
import { SECOND_MS } from './times.ts'

export interface HumanCheck {
  open(): void
  close(): void
}

/** The human check inside the page of a sale: a picture, or work for the browser. */
export function createHumanCheck(
  place: HTMLElement,
  options: {
    saleUrl: string
    refusal: (code: unknown) => string | undefined
    onDone: (held: Answer['body']) => void
  },
): HumanCheck {
  const { saleUrl, refusal, onDone } = options
  const find = <T extends HTMLElement>(selector: string): T => place.querySelector(selector) as T
  const form = find<HTMLFormElement>('[data-check-form]')
  const picture = find<HTMLImageElement>('[data-check-picture]')
  const input = find<HTMLInputElement>('input[name="answer"]')
  const message = find('[data-check-message]')
  let captchaId = ''
  let isBusy = false

  function why(answer: Answer | undefined): string {
    const { code, retryAfterMs = 0 } = answer?.body ?? {}
    if (code === 'login-required') logIn(location.pathname)
    if (code === 'rate-limited') return text('check-wait', { s: Math.ceil(Number(retryAfterMs) / SECOND_MS) })
    return refusal(code) ?? text(answer ? 'check-failed' : 'offline')
  }

  /** @param before what the shopper has to know of the try before */
  async function showPicture(before = ''): Promise<void> {
    message.textContent = before || text('check-loading')
    captchaId = ''
    const answer = await post(`${saleUrl}/captchas`, { kind: 'image' })
    if (answer?.status !== 201) {
      message.textContent = why(answer)
      return
    }
    captchaId = String(answer.body['captchaId'])
    picture.src = String(answer.body['image'])
    input.value = ''
    input.focus()
    message.textContent = before
  }

  async function send(solution: string): Promise<void> {
    message.textContent = text('check-sending')
    const answer = await post(`${saleUrl}/purchase-tokens`, { captchaId, answer: solution })
    if (answer?.status === 201) {
      place.hidden = true
      return onDone(answer.body)
    }
    if (answer?.status === 422 && answer.body['code'] !== 'request-invalid') return showPicture(why(answer))
    message.textContent = why(answer)
  }

  async function work(): Promise<void> {
    const answer = await post(`${saleUrl}/captchas`, { kind: 'work' })
    if (answer?.status !== 201) {
      message.textContent = why(answer)
      return
    }
    captchaId = String(answer.body['captchaId'])
    message.textContent = text('check-working')
    const number = await doWork(place.dataset['workUrl'] ?? '', answer.body['work'] as object)
    if (number === undefined) message.textContent = text('check-failed')
    else await send(String(number))
  }

  async function once(act: () => Promise<void>): Promise<void> {
    if (isBusy) return
    isBusy = true
    await act()
    isBusy = false
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (input.value.trim() === '') return input.focus()
    void once(() => send(input.value))
  })
  find('[data-check-other]').addEventListener('click', () => void once(() => showPicture()))
  find('[data-check-work]').addEventListener('click', () => void once(work))

  return {
    open() {
      if (!place.hidden && captchaId) return input.focus()
      place.hidden = false
      place.scrollIntoView({ block: 'nearest' })
      void once(() => showPicture())
    },
    close() {
      place.hidden = true
    },
  }
}
