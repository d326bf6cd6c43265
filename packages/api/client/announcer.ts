const polite = document.querySelector('[data-announcer]')
const assertive = document.querySelector('[data-announcer-now]')

/** Says a sentence to who listens to the page, when they are done with what they hear. */
export function announce(sentence: string): void {
  if (polite && sentence) polite.textContent = sentence
}

/** The same at once: for what was waited for. */
export function announceNow(sentence: string): void {
  if (assertive && sentence) assertive.textContent = sentence
}
