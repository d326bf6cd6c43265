const REQUEST_TIMEOUT_MS = 10_000
const BACKOFF_MIN_MS = 500
const BACKOFF_MAX_MS = 8_000
/** How often a server that cannot be reached is tried again. */
export const OFFLINE_RETRY_MS = 5_000

export interface Answer {
  status: number
  // What the server says is checked where it is used; most of it only ever becomes text.
  // oxlint-disable-next-line typescript/no-explicit-any
  body: Record<string, any>
}

/** Undefined when no answer came. */
export async function ask(path: string, options?: RequestInit): Promise<Answer | undefined> {
  try {
    const response = await fetch(path, { ...options, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
    const isJson = /json/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, body: isJson ? ((await response.json()) as Answer['body']) : {} }
  } catch {
    return undefined
  }
}

export function post(path: string, body: object, headers: Record<string, string> = {}) {
  return ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
}

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}

/** Twice as long each time, and never two browsers in step. */
export function backoffMs(attempt: number): number {
  return Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** attempt) * (0.75 + Math.random() / 2)
}

export function logIn(next: string): void {
  location.assign(`/login?next=${encodeURIComponent(next)}`)
}
