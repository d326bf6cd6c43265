import { createServerClock } from './server-clock.ts'
import { text } from './texts.ts'
import { everySecond, spanOf } from './times.ts'

/** How long until a sale of the list opens. */
export function countDownInList(place: HTMLElement): void {
  const clock = createServerClock(Number(place.dataset['serverNowMs']))
  place.hidden = false
  everySecond(
    clock,
    () => Number(place.dataset['opensAtMs']),
    (leftMs) => {
      place.textContent = leftMs > 0 ? text('opens-in', { time: spanOf(leftMs) }) : text('opening')
    },
  )
}
