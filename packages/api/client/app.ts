/*
 * Makes the pages livelier: a countdown on the server's clock, buying without a page load, news while waiting.
 *
 * Every page works without this script, and it decides nothing: what the button may do is the server's word, and
 * every text comes with the page.
 */

import { focusErrorSummary, sendOnce } from './forms.ts'
import { runLoginCheck } from './login-check.ts'
import { runOrderPage } from './order-page.ts'
import { countDownInList } from './sale-list.ts'
import { runSalePage } from './sale-page.ts'
import { sayTimesInLocalZone } from './times.ts'

/** Tells the server that nobody needs to load a waiting page again. */
document.cookie =
  location.protocol === 'https:'
    ? '__Host-blitz-script=1; path=/; samesite=lax; secure'
    : 'blitz-script=1; path=/; samesite=lax'
// A page out of the browser's cache shows what was true when it was left.
addEventListener('pageshow', (event) => event.persisted && location.reload())

sayTimesInLocalZone(document)
focusErrorSummary()
for (const form of document.querySelectorAll('form[data-once]')) sendOnce(form)
start('[data-login-check]', runLoginCheck)
start('[data-sale]', runSalePage)
start('[data-order]', runOrderPage)
start('[data-opens-at-ms][data-server-now-ms]:not([data-sale])', countDownInList)

function start(selector: string, run: (place: HTMLElement) => void): void {
  for (const place of document.querySelectorAll<HTMLElement>(selector)) run(place)
}
