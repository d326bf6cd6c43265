import { newCaptchaText } from './captcha-text.ts'

export interface CaptchaPicture {
  text: string
  /** A data URL, made beforehand like the picture itself. */
  image: string
}

export interface PicturePool {
  /** The next picture; undefined when too many already wait for one. Each is given out once. */
  take(): Promise<CaptchaPicture | undefined>
  readyCount(): number
  close(): void
}

export interface PicturePoolOptions {
  /** Pictures kept ready; about 13 KB each. */
  size: number
  draw: (text: string) => Promise<Buffer>
}

export const POOL_SIZE = 1_000
const WAITING_MAX = 1_000
/** Between two pictures while nobody waits: filling the pool takes an eighth of one core at most. */
const PAUSE_MS = 15
const RETRY_AFTER_FAULT_MS = 1_000

/**
 * Pictures drawn before anybody asks for them, so that a rush costs nothing on the request path.
 *
 * One at a time, and slowly while nobody waits: purchases come first.
 */
export function createPicturePool({ size, draw }: PicturePoolOptions): PicturePool {
  const ready: CaptchaPicture[] = []
  const waiting: ((picture: CaptchaPicture | undefined) => void)[] = []
  let isClosed = false
  let isFilling = false
  let wake: (() => void) | undefined

  async function drawOne(): Promise<CaptchaPicture> {
    const text = newCaptchaText()
    const png = await draw(text)
    return { text, image: `data:image/png;base64,${png.toString('base64')}` }
  }

  /** Ends early when somebody begins to wait. */
  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      timer.unref()
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async function fill(): Promise<void> {
    if (isFilling) return
    isFilling = true
    while (!isClosed && (ready.length < size || waiting.length > 0)) {
      try {
        const picture = await drawOne()
        const first = waiting.shift()
        if (first) first(picture)
        else ready.push(picture)
      } catch {
        // Whoever waits is told to come again; the next picture may succeed.
        for (const refuse of waiting.splice(0)) refuse(undefined)
        await pause(RETRY_AFTER_FAULT_MS)
      }
      if (waiting.length === 0) await pause(PAUSE_MS)
    }
    isFilling = false
  }

  void fill()
  return {
    take() {
      const picture = ready.pop()
      if (picture || isClosed || waiting.length >= WAITING_MAX) {
        void fill()
        return Promise.resolve(picture)
      }
      return new Promise((resolve) => {
        waiting.push(resolve)
        wake?.()
        void fill()
      })
    },
    readyCount: () => ready.length,
    close() {
      isClosed = true
      wake?.()
      for (const refuse of waiting.splice(0)) refuse(undefined)
    },
  }
}
