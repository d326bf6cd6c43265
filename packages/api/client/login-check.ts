import { post } from './ask.ts'
import { doWork } from './do-work.ts'
import { text } from './texts.ts'

/** Work for the browser in place of the picture of a login, for who asks for it. */
export function runLoginCheck(place: HTMLElement): void {
  const find = <T extends HTMLElement>(selector: string): T => place.querySelector(selector) as T
  const offer = find<HTMLButtonElement>('[data-check-work]')
  const picture = find<HTMLImageElement>('[data-check-picture]')
  const captchaId = find<HTMLInputElement>('input[name="captchaId"]')
  const answer = find<HTMLInputElement>('input[name="answer"]')
  const message = find('[data-check-message]')
  const submit = place.closest('form')?.querySelector('button[type="submit"]') as HTMLButtonElement

  async function work(): Promise<void> {
    offer.disabled = true
    submit.disabled = true
    message.textContent = text('check-working')
    const challenge = await post('/api/v1/auth/captchas', { kind: 'work' })
    const number =
      challenge?.status === 201
        ? await doWork(place.dataset['workUrl'] ?? '', challenge.body['work'] as object)
        : undefined
    submit.disabled = false
    offer.disabled = false
    if (number === undefined) {
      message.textContent = text(challenge ? 'check-failed' : 'offline')
      return
    }
    captchaId.value = String(challenge?.body['captchaId'])
    answer.value = String(number)
    answer.readOnly = true
    offer.hidden = true
    picture.hidden = true
    message.textContent = text('check-done')
    submit.focus()
  }

  offer.hidden = false
  offer.addEventListener('click', () => void work())
}
