// @ts-check

/*
 * Makes the pages livelier: a countdown on the server's clock, buying without a page load, news while waiting.
 *
 * Every page works without this file, and it decides nothing: what the button may do is the server's word, and
 * every text comes with the page.
 */

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const DAY_MS = 24 * 60 * MINUTE_MS

const REQUEST_TIMEOUT_MS = 10_000
/** Whoever presses twice meant it once. */
const PRESS_AGAIN_AFTER_MS = 1_000
/** Then a purchase that is only ever told "busy" goes back into the hands of the shopper. */
const BUSY_TRIES_MAX = 10
const BACKOFF_MIN_MS = 500
const BACKOFF_MAX_MS = 8_000
const OFFLINE_RETRY_MS = 5 * SECOND_MS
/** Shoppers who wait for the same opening must not all try again in the same millisecond. */
const JITTER_MS = 300
const CLOCK_SAMPLES = 5
const CLOCK_SAMPLE_GAP_MS = 150
const CLOCK_ROUND_TRIP_MAX_MS = 2_000
const QUIET_POLL_MS = 30 * SECOND_MS
/** Set in this tab when a page is loaded again because its order has changed. */
const CHANGED = 'blitz-changed'

/** @typedef {{ status: number, body: Record<string, any> } | undefined} Answer undefined: none came */

const texts = readTexts(document.querySelector('#client-texts'), 'key')
const announcer = document.querySelector('[data-announcer]')

document.cookie = `blitz-script=1; path=/; samesite=lax${location.protocol === 'https:' ? '; secure' : ''}`
// A page out of the browser's cache shows what was true when it was left.
addEventListener('pageshow', (event) => event.persisted && location.reload())
sayTimesInLocalZone()
const errorSummary = document.querySelector('[data-error-summary]')
if (errorSummary instanceof HTMLElement) errorSummary.focus()
for (const form of document.querySelectorAll('form[data-once]')) sendOnce(form)
const loginCheck = document.querySelector('[data-login-check]')
if (loginCheck instanceof HTMLElement) runLoginCheck(loginCheck)

const sale = document.querySelector('[data-sale]')
if (sale instanceof HTMLElement) runSalePage(sale)
const order = document.querySelector('[data-order]')
if (order instanceof HTMLElement) runOrderPage(order)
for (const place of document.querySelectorAll('[data-opens-at-ms][data-server-now-ms]:not([data-sale])')) {
  if (place instanceof HTMLElement) countDownInList(place)
}
sayWhatChanged()

/* ---- The human check of a login ---- */

/**
 * Work for the browser in place of the picture, for who asks for it.
 *
 * @param {HTMLElement} place
 */
function runLoginCheck(place) {
  const form = place.closest('form')
  const offer = /** @type {HTMLButtonElement} */ (place.querySelector('[data-check-work]'))
  const picture = /** @type {HTMLImageElement} */ (place.querySelector('[data-check-picture]'))
  const captchaId = /** @type {HTMLInputElement} */ (place.querySelector('input[name="captchaId"]'))
  const answer = /** @type {HTMLInputElement} */ (place.querySelector('input[name="answer"]'))
  const message = /** @type {HTMLElement} */ (place.querySelector('[data-check-message]'))
  const submit = /** @type {HTMLButtonElement} */ (form?.querySelector('button[type="submit"]'))

  async function work() {
    offer.disabled = true
    submit.disabled = true
    message.textContent = text('check-working')
    const challenge = await ask('/api/v1/auth/captchas', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ kind: 'work' }),
    })
    const number =
      challenge?.status === 201
        ? await doWork(place.dataset['workUrl'] ?? '', challenge.body['work'])
        : undefined
    submit.disabled = false
    offer.disabled = false
    if (number === undefined) {
      message.textContent = text(challenge ? 'check-failed' : 'offline')
      return
    }
    captchaId.value = challenge?.body['captchaId']
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

/**
 * Finds the number of a proof of work; undefined when there is none, or no worker.
 *
 * @param {string} workUrl
 * @param {object} work
 * @returns {Promise<number | undefined>}
 */
async function doWork(workUrl, work) {
  const worker = new Worker(workUrl, { type: 'module' })
  const number = await new Promise((resolve) => {
    worker.onmessage = ({ data }) => 'number' in data && resolve(data.number)
    worker.onerror = () => resolve(undefined)
    worker.postMessage(work)
  })
  worker.terminate()
  return number
}

/* ---- Texts and times ---- */

/**
 * @param {Element | null} template
 * @param {string} attribute
 * @returns {Map<string, string>}
 */
function readTexts(template, attribute) {
  const entries =
    template instanceof HTMLTemplateElement ? template.content.querySelectorAll(`[data-${attribute}]`) : []
  return new Map(
    Array.from(entries, (entry) => [entry.getAttribute(`data-${attribute}`) ?? '', entry.textContent]),
  )
}

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
function text(key, values = {}) {
  return fill(texts.get(key) ?? '', values)
}

/**
 * @param {string} message
 * @param {Record<string, string | number>} values
 */
function fill(message, values) {
  return message.replaceAll(/\{(\w+)\}/g, (placeholder, name) => String(values[name] ?? placeholder))
}

/** @param {string} message */
function announce(message) {
  if (announcer) announcer.textContent = message
}

/** @param {number} epochMs */
function localMoment(epochMs) {
  const { lang } = document.documentElement
  const locale = navigator.languages.find((language) => language.split('-')[0] === lang.split('-')[0]) ?? lang
  return new Intl.DateTimeFormat(locale, {
    year: 'numeric',
    month: 'short',
    day: 'numeric',
    hour: 'numeric',
    minute: '2-digit',
    timeZoneName: 'short',
  }).format(epochMs)
}

function sayTimesInLocalZone() {
  for (const time of document.querySelectorAll('time[datetime]')) {
    time.textContent = localMoment(Date.parse(time.getAttribute('datetime') ?? ''))
  }
}

/**
 * 00:42, 1:02:03, or 2 d 03:04:05.
 *
 * @param {number} ms
 */
function spanOf(ms) {
  const seconds = Math.max(0, Math.ceil(ms / SECOND_MS))
  /** @param {number} n */
  const two = (n) => String(n).padStart(2, '0')
  const days = Math.floor(seconds / 86_400)
  const hours = Math.floor((seconds % 86_400) / 3_600)
  const rest = `${two(Math.floor((seconds % 3_600) / 60))}:${two(seconds % 60)}`
  if (days > 0) return `${text('days', { n: days })} ${two(hours)}:${rest}`
  return hours > 0 ? `${hours}:${rest}` : rest
}

/* ---- The server's clock ---- */

/**
 * The server's time, carried on by a clock that nobody can set.
 *
 * The first estimate comes with the page. It was stamped before the first byte arrived, so it is late by the way
 * here and never early. Samples then narrow it: the one with the shortest round trip is wrong by half of that at most.
 *
 * @param {number} serverNowMs
 */
function createServerClock(serverNowMs) {
  const localNow = () => performance.timeOrigin + performance.now()
  const [navigation] = performance.getEntriesByType('navigation')
  const arrivedMs =
    navigation instanceof PerformanceNavigationTiming ? navigation.responseStart : performance.now()
  let offsetMs = serverNowMs - (performance.timeOrigin + arrivedMs)
  let bestRoundTripMs = CLOCK_ROUND_TRIP_MAX_MS

  async function sample() {
    const sentMs = localNow()
    const answer = await ask('/api/v1/time')
    const gotMs = localNow()
    if (answer?.status !== 200 || gotMs - sentMs > bestRoundTripMs) return
    bestRoundTripMs = gotMs - sentMs
    offsetMs = answer.body['nowMs'] + bestRoundTripMs / 2 - gotMs
  }

  return {
    nowMs: () => localNow() + offsetMs,
    /** @param {unknown} nowMs the time in an answer that has just come */
    observe(nowMs) {
      if (typeof nowMs === 'number') offsetMs = nowMs - localNow()
    },
    async refine() {
      bestRoundTripMs = CLOCK_ROUND_TRIP_MAX_MS
      for (let count = 0; count < CLOCK_SAMPLES; count += 1) {
        await sample()
        await wait(CLOCK_SAMPLE_GAP_MS)
      }
    },
  }
}

/**
 * Calls `show` once in every second of the server, and exactly at the end, until the end.
 *
 * @param {{ nowMs(): number }} clock
 * @param {() => number} endsAtMs
 * @param {(leftMs: number) => void} show
 */
function everySecond(clock, endsAtMs, show) {
  const tick = () => {
    const leftMs = endsAtMs() - clock.nowMs()
    show(Math.max(0, leftMs))
    // A long time-out would overflow, a hidden page be late: both are put right at the next tick.
    if (leftMs > 0) setTimeout(tick, leftMs % SECOND_MS || SECOND_MS)
  }
  tick()
}

/**
 * Says a sentence at each threshold that is passed while the page is open.
 *
 * @param {[atMs: number, sentence: string][]} thresholds
 */
function createThresholds(thresholds) {
  let before = Number.NaN
  return (/** @type {number} */ leftMs) => {
    for (const [atMs, sentence] of thresholds) if (before > atMs && leftMs <= atMs) announce(sentence)
    before = leftMs
  }
}

/* ---- Talking to the server ---- */

/** @param {number} ms */
function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Answer>}
 */
async function ask(path, options) {
  try {
    const response = await fetch(path, { ...options, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
    const isJson = /json/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, body: isJson ? await response.json() : {} }
  } catch {
    return undefined
  }
}

/** @param {number} attempt */
function backoffMs(attempt) {
  return Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** attempt) * (0.75 + Math.random() / 2)
}

/** @param {string} next */
function logIn(next) {
  location.assign(`/login?next=${encodeURIComponent(next)}`)
}

/** @param {Element} form */
function sendOnce(form) {
  const submit = form.querySelector('button[type="submit"]')
  let isSent = false
  form.addEventListener('submit', (event) => {
    if (isSent) event.preventDefault()
    isSent = true
    submit?.setAttribute('aria-disabled', 'true')
    // Without an answer the shopper must be able to press again.
    setTimeout(() => {
      isSent = false
      submit?.removeAttribute('aria-disabled')
    }, REQUEST_TIMEOUT_MS)
  })
}

/* ---- Sale list ---- */

/** @param {HTMLElement} place */
function countDownInList(place) {
  const opensAtMs = Number(place.dataset['opensAtMs'])
  const clock = createServerClock(Number(place.dataset['serverNowMs']))
  place.hidden = false
  everySecond(
    clock,
    () => opensAtMs,
    (leftMs) => {
      place.textContent = leftMs > 0 ? text('opens-in', { time: spanOf(leftMs) }) : text('opening')
    },
  )
}

/* ---- One sale ---- */

/** @param {HTMLElement} page */
function runSalePage(page) {
  const { saleId, loggedIn, pollAfterMs } = page.dataset
  const saleUrl = `/api/v1/sales/${saleId}`
  const isLoggedIn = loggedIn === 'true'
  const clock = createServerClock(Number(page.dataset['serverNowMs']))
  const template = page.querySelector('[data-state-texts]')
  const words = readTexts(template, 'text')
  const refusals = readTexts(template, 'refusal')
  const phases = readTexts(template, 'phase')

  const form = /** @type {HTMLFormElement} */ (page.querySelector('[data-buy-form]'))
  const button = /** @type {HTMLButtonElement} */ (form.querySelector('button'))
  const reason = /** @type {HTMLElement} */ (page.querySelector('[data-reason]'))
  const headline = /** @type {HTMLElement} */ (page.querySelector('[data-headline]'))
  const chip = /** @type {HTMLElement} */ (page.querySelector('[data-chip]'))
  const countdown = /** @type {HTMLElement} */ (page.querySelector('[data-countdown]'))
  const claimed = /** @type {HTMLElement} */ (page.querySelector('[data-claimed]'))
  const check = page.querySelector('[data-check]')

  let state = page.dataset['state'] ?? ''
  let opensAtMs = Number(page.dataset['opensAtMs'])
  let claimedPercent = Number(page.dataset['claimedPercent'])
  let isBuying = false
  /** After a try without a known outcome the shopper may hold the last unit: every further try says so. */
  let isRetry = false
  let isPaused = false
  /** What the human check has bought; the server knows it too, should this page have been loaded anew. */
  let purchaseToken = ''
  let tokenExpiresAtMs = Number(page.dataset['tokenExpiresAtMs'])
  const checkAheadMs = Number(page.dataset['checkAheadMs'])
  const hasToken = () => tokenExpiresAtMs > clock.nowMs()

  /* What the shopper sees */

  /** @param {string} phase */
  function stateOf(phase) {
    switch (phase) {
      case 'upcoming':
        if (!isLoggedIn) return 'not_started'
        if (hasToken()) return 'ready'
        return clock.nowMs() < opensAtMs - checkAheadMs ? 'not_started' : 'warming'
      case 'open':
        if (!isLoggedIn) return 'login_required'
        return hasToken() ? 'open_ready' : 'open_needs_check'
      default:
        return phase
    }
  }

  /** An order of this shopper comes before everything that the sale could say. */
  const isUpcoming = () => state === 'not_started' || state === 'warming' || state === 'ready'
  const hasOrder = () => state === 'queued' || state === 'won' || state === 'already_bought'

  /** @param {string} phase */
  function showPhase(phase) {
    chip.className = `chip chip-${phase}`
    chip.textContent = phases.get(phase) ?? ''
    claimed.hidden = phase === 'upcoming'
    const next = stateOf(phase)
    if (hasOrder() || isBuying || next === state) return
    const before = state
    state = next
    const entry =
      template instanceof HTMLTemplateElement && template.content.querySelector(`[data-for="${state}"]`)
    if (!entry) return
    headline.textContent = entry.querySelector('[data-headline]')?.textContent ?? ''
    reason.textContent = upcomingReason() || (entry.querySelector('[data-reason]')?.textContent ?? '')
    const canBuy = phase === 'open'
    const needsCheck = state === 'warming' || state === 'open_needs_check'
    setAble(canBuy || needsCheck)
    if (isLoggedIn) {
      const label = needsCheck ? (canBuy ? 'verify' : 'get-ready') : 'buy'
      button.textContent = words.get(label) ?? ''
    }
    if (!needsCheck) humanCheck.close()
    countdown.hidden = !isUpcoming()
    page.querySelector('[data-other-sales]')?.toggleAttribute('hidden', canBuy)
    if (canBuy && needsCheck) announce(text('announce-check'))
    else if (canBuy) announce(text(before === 'sold_out' ? 'announce-back' : 'announce-open'))
    else announce(reason.textContent)
  }

  function upcomingReason() {
    const time = localMoment(opensAtMs)
    if (state === 'not_started') return text('not_started', { time })
    if (state === 'warming') return text('get-ready', { time })
    return state === 'ready' ? text('ready', { time }) : ''
  }

  /** @param {boolean} isAble */
  function setAble(isAble) {
    if (isAble) button.removeAttribute('aria-disabled')
    else button.setAttribute('aria-disabled', 'true')
  }

  /** @param {string} message */
  function say(message) {
    reason.textContent = message
    announce(message)
  }

  /* The countdown */

  function countDown() {
    const atThreshold = createThresholds([
      [5 * MINUTE_MS, text('announce-minutes', { n: 5 })],
      [MINUTE_MS, text('announce-minute')],
      [10 * SECOND_MS, text('announce-seconds', { n: 10 })],
    ])
    countdown.hidden = false
    reason.textContent = upcomingReason()
    everySecond(
      clock,
      () => opensAtMs,
      (leftMs) => {
        if (!isUpcoming()) return
        countdown.textContent = spanOf(leftMs)
        atThreshold(leftMs)
        // The time for the check begins, or a token has expired.
        showPhase(leftMs === 0 ? 'open' : 'upcoming')
      },
    )
    // Somewhere in the last minute, not all at once; at once for whoever comes later than that.
    const leftMs = opensAtMs - clock.nowMs()
    const refineInMs =
      Math.max(0, leftMs - MINUTE_MS) + Math.random() * Math.max(0, Math.min(leftMs, MINUTE_MS) - 5_000)
    if (leftMs < DAY_MS) setTimeout(() => void clock.refine(), leftMs < MINUTE_MS ? 0 : refineInMs)
  }

  /* News of the sale */

  async function look() {
    if (document.visibilityState === 'visible' && !isPaused) {
      const answer = await ask(saleUrl)
      if (answer?.status === 200) takeIn(answer.body)
    }
    if (state === 'ended') return
    const isFar = isUpcoming() && opensAtMs - clock.nowMs() > MINUTE_MS
    setTimeout(look, (isFar ? QUIET_POLL_MS : Number(pollAfterMs)) * (0.8 + Math.random() * 0.4))
  }

  /** @param {Record<string, any>} news */
  function takeIn(news) {
    opensAtMs = news['opensAtMs']
    showClaimed(news['claimedPercent'], news['fewLeft'])
    // The answer may be a second old, the clock here is not.
    const isJustOpen = news['phase'] === 'upcoming' && clock.nowMs() >= opensAtMs
    showPhase(isJustOpen ? 'open' : news['phase'])
  }

  /**
   * @param {number} percent
   * @param {boolean} isFewLeft
   */
  function showClaimed(percent, isFewLeft) {
    const passed = [50, 80, 95, 100].findLast((step) => claimedPercent < step && percent >= step)
    if (passed !== undefined && state === 'open_ready')
      announce(text('announce-claimed', { percent: passed }))
    claimedPercent = percent
    const meter = claimed.querySelector('meter')
    if (meter) meter.value = percent
    const line = claimed.querySelector('[data-claimed-text]')
    if (line)
      line.textContent = isFewLeft
        ? (words.get('few-left') ?? '')
        : fill(words.get('claimed') ?? '', { percent })
  }

  /* Buying */

  async function buy() {
    isBuying = true
    setAble(false)
    const label = button.textContent
    button.textContent = text('sending')
    page.querySelector('[data-notice]')?.remove()
    say(text('sending-order'))
    const [done] = await Promise.all([tryUntilKnown(), wait(PRESS_AGAIN_AFTER_MS)])
    if (done.goTo) return location.assign(done.goTo)
    isBuying = false
    button.textContent = label
    setAble(true)
    if (done.needsCheck) {
      forgetToken()
      showPhase('open')
      void humanCheck.open()
    }
    if (done.phase) showPhase(done.phase)
    if (done.message) say(done.message)
  }

  /** @returns {Promise<{ goTo?: string, phase?: string, message?: string, needsCheck?: boolean }>} */
  async function tryUntilKnown() {
    let wasEarly = false
    for (let attempt = 0; ; attempt += 1) {
      const answer = await sendPurchase()
      const { code, orderId, retryAfterMs = 0, nowMs, unitsLeft, requestId } = answer?.body ?? {}
      if (orderId !== undefined) return { goTo: `/orders/${orderId}` }
      clock.observe(nowMs)

      switch (code) {
        case 'login-required':
          return { goTo: `/login?next=${encodeURIComponent(`/sales/${saleId}`)}` }
        case 'sale-not-open':
          if (wasEarly || retryAfterMs > OFFLINE_RETRY_MS)
            return { phase: 'upcoming', message: refusals.get(code) ?? '' }
          wasEarly = true
          await wait(retryAfterMs + Math.random() * JITTER_MS)
          continue
        case 'purchase-token-invalid':
          return { needsCheck: true, message: refusals.get(code) ?? '' }
        case 'sold-out':
          return { phase: 'sold_out', message: refusals.get(code) ?? '' }
        case 'sale-closed':
          return { phase: 'ended', message: refusals.get(code) ?? '' }
        case 'sale-paused':
          return { phase: 'paused', message: refusals.get(code) ?? '' }
        case 'too-few-left':
          return { message: fill(refusals.get(code) ?? '', { n: unitsLeft }) }
        case 'overloaded':
        case 'sale-warming':
        case 'rate-limited':
        case 'dependency-unavailable':
        case 'draining': {
          if (attempt >= BUSY_TRIES_MAX) return { message: text('gave-up') }
          const pauseMs = Math.max(retryAfterMs, backoffMs(attempt))
          const key = code === 'rate-limited' ? 'too-fast' : code === 'sale-warming' ? 'warming' : 'busy'
          say(text(key, { s: Math.ceil(pauseMs / SECOND_MS) }))
          await wait(pauseMs)
          continue
        }
        default:
      }
      if (answer && answer.status < 500)
        return { message: refusals.get(code) ?? text('failed', { id: requestId ?? '' }) }

      // No answer, or one that does not tell: the try may have succeeded.
      isRetry = true
      say(text('confirming'))
      await wait(
        Math.max(retryAfterMs, answer ? backoffMs(attempt) : Math.min(OFFLINE_RETRY_MS, backoffMs(attempt))),
      )
      const found = await ask(`${saleUrl}/viewer`)
      if (found?.body['orderId']) return { goTo: `/orders/${found.body['orderId']}` }
      if (!found) say(`${text('offline')} ${text('confirming')}`)
    }
  }

  async function sendPurchase() {
    if (!purchaseToken) {
      // Checked on an earlier visit of this page, or on another device.
      const viewer = await ask(`${saleUrl}/viewer`)
      if (viewer?.body['purchaseToken']) takeToken(viewer.body)
    }
    const quantity = Number(new FormData(form).get('quantity') ?? 1)
    return ask(`${saleUrl}/orders`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-purchase-token': purchaseToken,
        ...(isRetry && { 'x-purchase-retry': '1' }),
      },
      body: JSON.stringify({ quantity }),
    })
  }

  /* The human check */

  /** @param {Record<string, any>} held */
  function takeToken(held) {
    purchaseToken = held['purchaseToken']
    tokenExpiresAtMs = held['expiresAtMs']
  }

  function forgetToken() {
    purchaseToken = ''
    tokenExpiresAtMs = 0
  }

  const humanCheck =
    check instanceof HTMLElement
      ? runCheck(check, saleUrl, refusals, (held) => {
          takeToken(held)
          const wasOpen = state === 'open_needs_check'
          showPhase(wasOpen ? 'open' : 'upcoming')
          if (wasOpen) void buy()
          else say(`${text('check-done')} ${upcomingReason()}`)
        })
      : { open: () => logIn(`/sales/${saleId}`), close: () => undefined }

  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (isBuying) return
    if (button.getAttribute('aria-disabled') === 'true') return announce(reason.textContent)
    if (!isLoggedIn) return logIn(`/sales/${saleId}`)
    if (state === 'warming' || state === 'open_needs_check') return void humanCheck.open()
    void buy()
  })

  const pause = page.querySelector('[data-pause-updates]')
  if (pause instanceof HTMLButtonElement && state !== 'ended') {
    pause.hidden = false
    pause.textContent = text('pause')
    pause.addEventListener('click', () => {
      isPaused = !isPaused
      pause.textContent = text(isPaused ? 'resume' : 'pause')
    })
  }

  // Why an earlier try was refused is said once; a reload or a bookmark is about now.
  if (location.search) history.replaceState(null, '', location.pathname)
  if (isUpcoming()) countDown()
  setTimeout(look, Number(pollAfterMs))
}

/**
 * The human check inside the page of a sale: a picture, or work for the browser.
 *
 * @param {HTMLElement} place
 * @param {string} saleUrl
 * @param {Map<string, string>} refusals
 * @param {(held: Record<string, any>) => void} onDone
 */
function runCheck(place, saleUrl, refusals, onDone) {
  const form = /** @type {HTMLFormElement} */ (place.querySelector('[data-check-form]'))
  const picture = /** @type {HTMLImageElement} */ (place.querySelector('[data-check-picture]'))
  const input = /** @type {HTMLInputElement} */ (form.querySelector('input[name="answer"]'))
  const message = /** @type {HTMLElement} */ (place.querySelector('[data-check-message]'))
  let captchaId = ''
  let isBusy = false

  /**
   * @param {string} path
   * @param {object} body
   */
  function post(path, body) {
    return ask(`${saleUrl}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  }

  /** @param {Answer} answer */
  function why(answer) {
    const { code, retryAfterMs = 0 } = answer?.body ?? {}
    if (code === 'login-required') logIn(location.pathname)
    if (code === 'rate-limited') return text('check-wait', { s: Math.ceil(retryAfterMs / SECOND_MS) })
    return refusals.get(code) ?? text(answer ? 'check-failed' : 'offline')
  }

  /** @param {string} [before] what the shopper has to know of the try before */
  async function showPicture(before = '') {
    message.textContent = before || text('check-loading')
    captchaId = ''
    const answer = await post('/captchas', { kind: 'image' })
    if (answer?.status !== 201) {
      message.textContent = why(answer)
      return
    }
    captchaId = answer.body['captchaId']
    picture.src = answer.body['image']
    input.value = ''
    input.focus()
    message.textContent = before
  }

  /** @param {string} solution */
  async function send(solution) {
    message.textContent = text('check-sending')
    const answer = await post('/purchase-tokens', { captchaId, answer: solution })
    if (answer?.status === 201) {
      place.hidden = true
      return onDone(answer.body)
    }
    if (answer?.status === 422 && answer.body['code'] !== 'request-invalid') return showPicture(why(answer))
    message.textContent = why(answer)
  }

  async function work() {
    const answer = await post('/captchas', { kind: 'work' })
    if (answer?.status !== 201) {
      message.textContent = why(answer)
      return
    }
    captchaId = answer.body['captchaId']
    message.textContent = text('check-working')
    const number = await doWork(place.dataset['workUrl'] ?? '', answer.body['work'])
    if (number === undefined) message.textContent = text('check-failed')
    else await send(String(number))
  }

  /** @param {() => Promise<void>} act */
  async function once(act) {
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
  place.querySelector('[data-check-other]')?.addEventListener('click', () => void once(() => showPicture()))
  place.querySelector('[data-check-work]')?.addEventListener('click', () => void once(work))

  return {
    open() {
      if (!place.hidden && captchaId) return input.focus()
      place.hidden = false
      place.scrollIntoView({ block: 'nearest' })
      return once(() => showPicture())
    },
    close() {
      place.hidden = true
    },
  }
}

/* ---- One order ---- */

/** @param {HTMLElement} page */
function runOrderPage(page) {
  const { orderId, state, payBeforeMs } = page.dataset
  const clock = createServerClock(Number(page.dataset['serverNowMs']))
  const line = page.querySelector('[data-order-text]')

  async function look(/** @type {number} */ failures = 0) {
    const answer = await ask(`/api/v1/orders/${orderId}`)
    if (answer?.status === 401) return logIn(`/orders/${orderId}`)
    if (answer?.status === 200 && answer.body['state'] !== state) return showChange()
    if (answer?.status === 200) {
      const { aheadAbout, pollAfterMs = OFFLINE_RETRY_MS } = answer.body
      if (line && aheadAbout > 0) line.textContent = fill(page.dataset['textQueued'] ?? '', { n: aheadAbout })
      setTimeout(look, pollAfterMs)
      return
    }
    if (line && !answer) line.textContent = text('offline')
    setTimeout(() => void look(failures + 1), Math.max(OFFLINE_RETRY_MS, backoffMs(failures)))
  }

  async function lookOnce() {
    const answer = await ask(`/api/v1/orders/${orderId}`)
    if (answer?.status === 200 && answer.body['state'] !== state) showChange()
  }

  if (state === 'queued') setTimeout(look, Number(page.dataset['pollAfterMs']))
  if (state !== 'awaiting_payment') return

  const place = page.querySelector('[data-pay-countdown]')
  if (!(place instanceof HTMLElement)) return
  const atThreshold = createThresholds([
    [5 * MINUTE_MS, text('paying-minutes', { n: 5 })],
    [2 * MINUTE_MS, text('paying-minutes', { n: 2 })],
    [MINUTE_MS, text('paying-minute')],
    [30 * SECOND_MS, text('paying-seconds', { n: 30 })],
  ])
  place.hidden = false
  everySecond(
    clock,
    () => Number(payBeforeMs),
    (leftMs) => {
      place.textContent = leftMs > 0 ? spanOf(leftMs) : text('pay-over')
      atThreshold(leftMs)
      // The order ends with the next sweep; until then it can still be paid.
      if (leftMs === 0) void look()
    },
  )
  // It may have been paid in another tab.
  addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') void lookOnce()
  })
}

/** The server renders the new state; it is read out on the page that comes. */
function showChange() {
  sessionStorage.setItem(CHANGED, '1')
  location.reload()
}

function sayWhatChanged() {
  if (sessionStorage.getItem(CHANGED) === null) return
  sessionStorage.removeItem(CHANGED)
  const heading = document.querySelector('h1')?.textContent ?? ''
  // A live region says what changes in it, not what it was born with.
  setTimeout(
    () => announce(`${heading}. ${document.querySelector('[data-order-text]')?.textContent ?? ''}`),
    500,
  )
}
