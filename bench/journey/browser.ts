import { Pool } from 'undici'

import type { Person } from './steps.ts'

export type Browser = ReturnType<typeof createBrowser>

interface Answer {
  status: number
  /** The fields of a JSON body. */
  fields: Record<string, string>
  /** Where waiting helps. */
  retryAfterMs?: number
}

/** As many as a stream of events and a request beside it need. */
const CONNECTIONS = 2

/** What a person's browser does: connections and cookies of their own. */
export function createBrowser(origin: string, person: Person) {
  const pool = new Pool(origin, { connections: CONNECTIONS })
  const cookies = new Map<string, string>()
  const keep = (cookie: string): void => {
    const [name = '', value = ''] = (cookie.split(';')[0] as string).split('=')
    cookies.set(name, value)
  }
  if (person.cookie !== undefined) keep(person.cookie)
  let purchaseToken: string | undefined

  const headersOf = (more: Record<string, string>): Record<string, string> => ({
    'x-forwarded-for': person.address,
    ...(cookies.size > 0 && { cookie: [...cookies].map((cookie) => cookie.join('=')).join('; ') }),
    ...(purchaseToken !== undefined && { 'x-purchase-token': purchaseToken }),
    ...more,
  })

  return {
    async ask(
      method: 'GET' | 'POST',
      path: string,
      { headers = {}, body }: { headers?: Record<string, string>; body?: object } = {},
    ): Promise<Answer> {
      const answer = await pool.request({
        method,
        path,
        headers: headersOf({
          ...headers,
          ...(body ? { 'content-type': 'application/json' } : { accept: 'text/html, application/json' }),
        }),
        body: body ? JSON.stringify(body) : null,
      })
      const text = await answer.body.text()
      for (const cookie of [answer.headers['set-cookie'] ?? []].flat()) keep(cookie)
      const isJson = String(answer.headers['content-type']).includes('json')
      const fields = (isJson ? JSON.parse(text) : {}) as Record<string, string>
      const retryAfter = Number(answer.headers['retry-after'])
      return {
        status: answer.statusCode,
        fields,
        ...(retryAfter >= 0 && { retryAfterMs: Number(fields['retryAfterMs'] ?? retryAfter * 1000) }),
      }
    },

    /** From now on every request shows it. */
    holdToken(token: string): void {
      purchaseToken = token
    },

    /** Reads a stream of events to its end: the last state of the order, or when to come again. */
    async listen(path: string): Promise<{ status: number; state?: string; retryAfterMs?: number }> {
      const answer = await pool.request({
        method: 'GET',
        path,
        headers: headersOf({ accept: 'text/event-stream' }),
      })
      const text = await answer.body.text()
      const status = answer.statusCode
      if (status !== 200) {
        const retryAfter = Number(answer.headers['retry-after'])
        return { status, ...(retryAfter >= 0 && { retryAfterMs: retryAfter * 1000 }) }
      }
      const last = [...text.matchAll(/^data: (.*)$/gm)].at(-1)?.[1]
      return { status, ...(last !== undefined && (JSON.parse(last) as { state: string })) }
    },

    /** Pays on the page of the provider, which knows nobody's session. @returns its status. */
    async payAt(url: string): Promise<number> {
      const answer = await pool.request({
        method: 'POST',
        path: new URL(url).pathname,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: 'act=pay',
      })
      await answer.body.dump()
      return answer.statusCode
    },

    close: () => pool.close(),
  }
}
