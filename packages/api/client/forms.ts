const ANSWER_WITHIN_MS = 10_000

/** A form whose button was pressed is not sent twice; without an answer the shopper can press again. */
export function sendOnce(form: Element): void {
  const submit = form.querySelector('button[type="submit"]')
  let isSent = false
  const release = (): void => {
    isSent = false
    submit?.removeAttribute('aria-disabled')
  }
  form.addEventListener('submit', (event) => {
    if (isSent) return event.preventDefault()
    isSent = true
    submit?.setAttribute('aria-disabled', 'true')
    setTimeout(release, ANSWER_WITHIN_MS)
  })
}

/** What is wrong with a form is where its reader goes first. */
export function focusErrorSummary(): void {
  const summary = document.querySelector('[data-error-summary]')
  if (summary instanceof HTMLElement) summary.focus()
}
